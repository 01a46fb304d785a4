#include "unireplk/data/image/map_picture.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "unireplk/core/error.h"

namespace unireplk::data::image {
namespace {

constexpr std::array<uint8_t, 3> kNotFinite{128, 128, 128};

uint8_t to_byte(double share) { return static_cast<uint8_t>(std::lround(255 * std::clamp(share, 0.0, 1.0))); }

/// A linear intensity as sRGB encodes it.
double encoded(double linear) {
  const double value = std::clamp(linear, 0.0, 1.0);
  return value <= 0.0031308 ? 12.92 * value : 1.055 * std::pow(value, 1 / 2.4) - 0.055;
}

/// sRGB of a colour in Oklab, a space whose steps look equal. Source: B. Ottosson, "A perceptual color space for image
/// processing", 2020.
std::array<uint8_t, 3> from_oklab(double lightness, double a, double b) {
  const auto cube = [](double value) { return value * value * value; };
  const double l = cube(lightness + 0.3963377774 * a + 0.2158037573 * b);
  const double m = cube(lightness - 0.1055613458 * a - 0.0638541728 * b);
  const double s = cube(lightness - 0.0894841775 * a - 1.2914855480 * b);
  return {to_byte(encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s)),
          to_byte(encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s)),
          to_byte(encoded(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s))};
}

/// The smallest and the largest finite value.
std::pair<float, float> range_of(const float* values, int64_t count) {
  float low = INFINITY, high = -INFINITY;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) continue;
    low = std::min(low, values[i]);
    high = std::max(high, values[i]);
  }
  return {low, high};
}

/// \param map  [H, W]
Image coloured(const at::Tensor& map) {
  const at::Tensor dense = map.to(at::kFloat).contiguous();
  const auto* values = dense.const_data_ptr<float>();
  const auto [low, high] = range_of(values, dense.numel());
  const double width = high > low ? static_cast<double>(high) - low : 1;
  Image image = Image::sized(dense.size(1), dense.size(0), 3);
  for (int64_t i = 0; i < dense.numel(); ++i) {
    const auto colour = std::isfinite(values[i]) ? map_colour((values[i] - low) / width) : kNotFinite;
    std::copy(colour.begin(), colour.end(), image.pixels.begin() + 3 * i);
  }
  return image;
}

/// \param bytes  uint8 [H, W, C]
Image image_of(const at::Tensor& bytes) {
  const at::Tensor dense = bytes.contiguous();
  Image image = Image::sized(dense.size(1), dense.size(0), dense.size(2));
  std::copy_n(dense.const_data_ptr<uint8_t>(), dense.numel(), image.pixels.begin());
  return image;
}

/// \param map  [3, H, W]
at::Tensor bytes_of(const at::Tensor& map) {
  return map.to(at::kFloat).clamp(0, 1).mul(255).round().to(at::kByte).permute({1, 2, 0});
}

bool is_bytes(const at::Tensor& map) {
  return map.scalar_type() == at::kByte && map.dim() == 3 && (map.size(2) == 1 || map.size(2) == 3);
}

/// [.., rows, columns] as they are looked at.
at::Tensor turned(const at::Tensor& map, View view) {
  if (view == View::kRowsColumns) return map;
  return (view == View::kTimeFrequency ? map.transpose(-1, -2) : map).flip({-2});
}

void paste(const Image& picture, int64_t left, int64_t top, int64_t scale, Image& grid) {
  for (int64_t y = 0; y < picture.height * scale; ++y) {
    uint8_t* out = grid.row(top + y) + 3 * left;
    for (int64_t x = 0; x < picture.width * scale; ++x, out += 3) {
      const uint8_t* pixel = picture.row(y / scale) + picture.channels * (x / scale);
      for (int64_t c = 0; c < 3; ++c) out[c] = pixel[picture.channels == 1 ? 0 : c];
    }
  }
}

}  // namespace

std::array<uint8_t, 3> map_colour(double share) {
  const double t = std::clamp(share, 0.0, 1.0);
  const double lightness = 0.2 + 0.72 * t;
  const double hue = (305 - 200 * t) * std::numbers::pi / 180;
  const double chroma = 0.06 + 0.08 * t;  // about as much as sRGB has
  return from_oklab(lightness, chroma * std::cos(hue), chroma * std::sin(hue));
}

Image picture_of(const at::Tensor& map, View view) {
  const bool is_map = map.is_floating_point() && (map.dim() == 2 || map.dim() == 3);
  UNIREPLK_CHECK((is_bytes(map) || is_map) && map.numel() > 0,
                 "picture_of: expected uint8 [H, W, 1 or 3], or floating [H, W] or [C, H, W], got {} [{}]",
                 at::toString(map.scalar_type()), fmt::join(map.sizes(), ", "));
  if (!is_map) return image_of(map);
  const at::Tensor looked_at = turned(map.cpu(), view);
  if (map.dim() == 2) return coloured(looked_at);
  return map.size(0) == 3 ? image_of(bytes_of(looked_at)) : coloured(looked_at.flatten(0, 1));
}

Image grid_of(const std::vector<Image>& pictures, int64_t columns, int64_t scale) {
  constexpr int64_t kGap = 2;
  UNIREPLK_CHECK(!pictures.empty() && columns > 0 && scale > 0, "grid_of: nothing to show");
  int64_t width = 0, height = 0;
  for (const auto& picture : pictures) {
    width = std::max(width, scale * picture.width + kGap);
    height = std::max(height, scale * picture.height + kGap);
  }
  const auto count = static_cast<int64_t>(pictures.size());
  columns = std::min(columns, count);
  Image grid = Image::sized(columns * width + kGap, (count + columns - 1) / columns * height + kGap, 3);
  std::ranges::fill(grid.pixels, uint8_t{255});
  for (int64_t i = 0; i < count; ++i) {
    paste(pictures[i], kGap + i % columns * width, kGap + i / columns * height, scale, grid);
  }
  return grid;
}

}  // namespace unireplk::data::image
