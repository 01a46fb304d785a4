#include "unireplk/data/image/decode.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "unireplk/data/image/decoders.h"
#include "unireplk/data/image/rare_formats.h"

namespace unireplk::data::image {
namespace {

template <size_t N>
bool begins_with(std::span<const std::byte> file, const std::array<uint8_t, N>& signature) {
  return file.size() >= N && std::equal(signature.begin(), signature.end(), file.begin(),
                                        [](uint8_t a, std::byte b) { return std::byte{a} == b; });
}

constexpr std::array<uint8_t, 3> kJpeg{0xFF, 0xD8, 0xFF};
constexpr std::array<uint8_t, 8> kPng{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

Result<Image> part_of(Result<Image> image, const ChoosePart& choose) {
  if (!image || !choose) return image;
  return crop(*image, choose(image->width, image->height));
}

/// \param choose  empty: all of the image.
Result<Image> decode_any(std::span<const std::byte> file, const std::string& place, const ChoosePart& choose,
                         PixelAllocator where) {
  if (begins_with(file, kJpeg)) return decode_jpeg(file, place, choose, where);
  if (begins_with(file, kPng)) return part_of(decode_png(file, place), choose);
  if (file.empty()) return Problem{place, "expected an image, got an empty file", ""};
  if (const auto rare = rare_format_of(file)) return part_of(decode_rare(*rare, file, place), choose);
  return Problem{place, "expected a JPEG or PNG image, got something else", "Convert the file to one of them."};
}

}  // namespace

std::optional<Problem> check_dimensions(int64_t width, int64_t height, const std::string& place) {
  if (width >= 1 && height >= 1 && width <= kMaxSide && height <= kMaxSide && width <= kMaxPixels / height) return {};
  return Problem{place,
                 format("expected an image of at most {} pixels a side and {} in all, got {} x {}", kMaxSide,
                        kMaxPixels, width, height),
                 "Make it smaller."};
}

Result<Image> decode(std::span<const std::byte> file, int64_t channels, const std::string& place) {
  return decode_part(file, channels, place, {});
}

Result<Image> decode_part(std::span<const std::byte> file, int64_t channels, const std::string& place,
                          const ChoosePart& choose, PixelAllocator where) {
  auto image = decode_any(file, place, choose, where);
  if (!image) return image;
  return with_channels(std::move(image).value(), channels);
}

}  // namespace unireplk::data::image
