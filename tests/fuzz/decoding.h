#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/target.h"
#include "unireplk/data/image/decode.h"
#include "unireplk/data/image/image.h"

namespace unireplk::test {

/// Larger images cost a search seconds and teach it nothing.
inline constexpr int64_t kMostFuzzedPixels = 1 << 18;

/// Decode a file whose header says this size, and its middle alone: of a file that is sound the same pixels.
inline void try_decoding(std::span<const std::byte> file, int64_t width, int64_t height) {
  if (width > 0 && height > kMostFuzzedPixels / width) return;
  const auto image = data::image::decode(file, 3, "fuzz");
  const data::image::Rectangle middle{
      .left = width / 3, .top = height / 3, .width = (width + 2) / 3, .height = (height + 2) / 3};
  const auto part = data::image::decode_part(file, 3, "fuzz", [&](int64_t, int64_t) { return middle; });
  require(!image || (part && part->pixels == data::image::crop(*image, middle).pixels), "a part with other pixels");
  if (!image) return;
  require(image->width == width && image->height == height && image->channels == 3, "an image of another size");
  require(std::ssize(image->pixels) == 3 * width * height, "pixels do not fit the size");
}

}  // namespace unireplk::test
