#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/target.h"
#include "unireplk/data/image/decode.h"

namespace unireplk::test {

/// Larger images cost a search seconds and teach it nothing.
inline constexpr int64_t kMostFuzzedPixels = 1 << 18;

/// Decode a file whose header says this size.
inline void try_decoding(std::span<const std::byte> file, int64_t width, int64_t height) {
  if (width > 0 && height > kMostFuzzedPixels / width) return;
  const auto image = data::image::decode(file, 3, "fuzz");
  if (!image) return;
  require(image->width == width && image->height == height && image->channels == 3, "an image of another size");
  require(std::ssize(image->pixels) == 3 * width * height, "pixels do not fit the size");
}

}  // namespace unireplk::test
