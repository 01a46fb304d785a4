#include "unireplk/data/image/image_suffixes.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "unireplk/core/format.h"

namespace unireplk::data::image {
namespace {

constexpr std::array<std::string_view, 9> kSuffixes{".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                                    ".pgm", ".tif",  ".tiff", ".webp"};

}  // namespace

bool has_image_suffix(std::string_view name) {
  std::string suffix = std::filesystem::path(name).extension().string();
  for (char& c : suffix) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return std::ranges::find(kSuffixes, suffix) != kSuffixes.end();
}

std::string image_suffixes() { return format("{}", fmt::join(kSuffixes, " ")); }

}  // namespace unireplk::data::image
