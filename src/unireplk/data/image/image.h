#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <type_traits>
#include <vector>

namespace unireplk::data::image {

/// Bounds of what is decoded or resized; a larger image is a mistake or an attack.
inline constexpr int64_t kMaxSide = 65500;
inline constexpr int64_t kMaxPixels = int64_t{1} << 28;

/// Memory for pixels, from a memory resource that outlives them. A vector of them begins with any content, and copies
/// and moves go where the original lies.
struct PixelAllocator {
  using value_type = uint8_t;
  template <class>
  struct rebind {
    using other = PixelAllocator;
  };
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  std::pmr::memory_resource* memory = std::pmr::get_default_resource();

  uint8_t* allocate(size_t bytes) { return static_cast<uint8_t*>(memory->allocate(bytes, 1)); }
  void deallocate(uint8_t* pixels, size_t bytes) { memory->deallocate(pixels, bytes, 1); }
  void construct(uint8_t*) const noexcept {}
  void construct(uint8_t* pixel, uint8_t value) const noexcept { *pixel = value; }

  bool operator==(const PixelAllocator&) const = default;
};
using Pixels = std::vector<uint8_t, PixelAllocator>;

/// 8-bit pixels, rows x columns x channels, interleaved and dense.
struct Image {
  int64_t width = 0;
  int64_t height = 0;
  int64_t channels = 3;  ///< 1 (grey) or 3 (RGB)
  Pixels pixels;

  /// Of this size, with any content.
  static Image sized(int64_t width, int64_t height, int64_t channels, PixelAllocator where = {});

  /// Black, of this size.
  static Image zeros(int64_t width, int64_t height, int64_t channels, PixelAllocator where = {});

  /// Of another size, with any content, where this one lies.
  Image beside(int64_t other_width, int64_t other_height, int64_t other_channels) const {
    return sized(other_width, other_height, other_channels, pixels.get_allocator());
  }

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

/// Brightness of an RGB pixel, 0..255. Source: spec/image.md section 3.4.
inline uint8_t luma(const uint8_t* rgb) {
  return static_cast<uint8_t>((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
}

/// The same picture with 1 or 3 channels: equal channels from grey; luma from RGB.
Image with_channels(Image image, int64_t channels);

}  // namespace unireplk::data::image
