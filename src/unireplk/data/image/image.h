#pragma once

#include <cstdint>
#include <vector>

namespace unireplk::data::image {

/// Bounds of what is decoded or resized; a larger image is a mistake or an attack.
inline constexpr int64_t kMaxSide = 65500;
inline constexpr int64_t kMaxPixels = int64_t{1} << 28;

/// 8-bit pixels, rows x columns x channels, interleaved and dense.
struct Image {
  int64_t width = 0;
  int64_t height = 0;
  int64_t channels = 3;  ///< 1 (grey) or 3 (RGB)
  std::vector<uint8_t> pixels;

  /// Black, of this size.
  static Image zeros(int64_t width, int64_t height, int64_t channels);

  int64_t row_bytes() const { return width * channels; }
  const uint8_t* row(int64_t y) const { return pixels.data() + y * row_bytes(); }
  uint8_t* row(int64_t y) { return pixels.data() + y * row_bytes(); }
};

/// A part of an image, in pixels.
struct Rectangle {
  int64_t left = 0;
  int64_t top = 0;
  int64_t width = 0;
  int64_t height = 0;

  bool operator==(const Rectangle&) const = default;
};

/// \throws ContractError unless the part has a pixel and lies inside an image of this size.
void check_inside(const Rectangle& part, int64_t width, int64_t height);

/// The rectangle with this corner and size; it must lie inside. \throws ContractError otherwise.
Image crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height);
inline Image crop(const Image& image, const Rectangle& part) {
  return crop(image, part.left, part.top, part.width, part.height);
}

/// A frame of `value` around the image. Widths are not negative.
Image pad(const Image& image, int64_t left, int64_t top, int64_t right, int64_t bottom, uint8_t value = 0);

/// Left and right exchanged.
Image mirror(const Image& image);

/// Brightness of an RGB pixel, 0..255. Source: spec/image.md section 3.4.
inline uint8_t luma(const uint8_t* rgb) {
  return static_cast<uint8_t>((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
}

/// The same picture with 1 or 3 channels: equal channels from grey; luma from RGB.
Image with_channels(Image image, int64_t channels);

}  // namespace unireplk::data::image
