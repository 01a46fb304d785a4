#include "unireplk/data/image/image.h"

#include <algorithm>
#include <utility>

#include "unireplk/core/error.h"

namespace unireplk::data::image {

Image Image::sized(int64_t width, int64_t height, int64_t channels, PixelAllocator where) {
  UNIREPLK_CHECK(width > 0 && height > 0 && (channels == 1 || channels == 3),
                 "image: {} x {} with {} channels is not an image", width, height, channels);
  UNIREPLK_CHECK(width <= kMaxPixels / height, "image: {} x {} has too many pixels", width, height);
  return {width, height, channels, Pixels(static_cast<size_t>(width * height * channels), where)};
}

Image Image::zeros(int64_t width, int64_t height, int64_t channels, PixelAllocator where) {
  Image image = sized(width, height, channels, where);
  std::ranges::fill(image.pixels, uint8_t{0});
  return image;
}

void check_inside(const Rectangle& part, int64_t width, int64_t height) {
  UNIREPLK_CHECK(part.left >= 0 && part.top >= 0 && part.width > 0 && part.height > 0 &&
                     part.left <= width - part.width && part.top <= height - part.height,
                 "crop: {} x {} at ({}, {}) does not lie in {} x {}", part.width, part.height, part.left, part.top,
                 width, height);
}

Image crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height) {
  check_inside({left, top, width, height}, image.width, image.height);
  Image out = image.beside(width, height, image.channels);
  for (int64_t y = 0; y < height; ++y) {
    std::copy_n(image.row(top + y) + left * image.channels, out.row_bytes(), out.row(y));
  }
  return out;
}

Image pad(const Image& image, int64_t left, int64_t top, int64_t right, int64_t bottom, uint8_t value) {
  UNIREPLK_CHECK(left >= 0 && top >= 0 && right >= 0 && bottom >= 0, "pad: a width is negative");
  Image out = image.beside(image.width + left + right, image.height + top + bottom, image.channels);
  std::ranges::fill(out.pixels, value);
  for (int64_t y = 0; y < image.height; ++y) {
    std::copy_n(image.row(y), image.row_bytes(), out.row(top + y) + left * image.channels);
  }
  return out;
}

Image with_channels(Image image, int64_t channels) {
  if (image.channels == channels) return image;
  Image out = image.beside(image.width, image.height, channels);
  const size_t count = static_cast<size_t>(image.width * image.height);
  if (channels == 1) {
    for (size_t i = 0; i < count; ++i) out.pixels[i] = luma(&image.pixels[3 * i]);
  } else {
    for (size_t i = 0; i < count; ++i) std::fill_n(&out.pixels[3 * i], 3, image.pixels[i]);
  }
  return out;
}

}  // namespace unireplk::data::image
