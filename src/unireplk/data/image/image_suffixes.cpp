#include "unireplk/data/image/image_suffixes.h"

#include <array>

namespace unireplk::data::image {
namespace {

constexpr std::array<std::string_view, 9> kSuffixes{".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                                    ".pgm", ".tif",  ".tiff", ".webp"};

}  // namespace

FileKind image_files() { return {.one = "image", .many = "images", .suffixes = kSuffixes}; }

}  // namespace unireplk::data::image
