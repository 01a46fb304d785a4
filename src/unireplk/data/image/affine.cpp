#include "unireplk/data/image/affine.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <system_error>

#include "unireplk/core/error.h"

namespace unireplk::data::image {
namespace {

/// Where a point lies on one axis: the pixel before it and how far behind that one it is, in [0, 1).
struct Position {
  int64_t pixel;
  double fraction;

  explicit Position(double place) {
    const double below = std::floor(place - 0.5);
    pixel = static_cast<int64_t>(below);
    fraction = place - 0.5 - below;
  }
};

/// The cubic convolution with a = -1 in the order of operations that Pillow has. It is v2 where d is zero.
double cubic(double v1, double v2, double v3, double v4, double d) {
  return v2 + d * ((-v1 + v3) + d * ((2 * (v1 - v2) + v3 - v4) + d * (-v1 + v2 - v3 + v4)));
}

uint8_t truncated(double value) {
  if (value <= 0.0) return 0;
  return value >= 255.0 ? uint8_t{255} : static_cast<uint8_t>(value);
}

/// Byte offsets of the pixels first .. first + kTaps - 1 of an axis, the outermost standing for those beyond.
template <size_t kTaps>
std::array<int64_t, kTaps> clamped(int64_t first, int64_t length, int64_t stride) {
  std::array<int64_t, kTaps> offsets;
  for (size_t i = 0; i < kTaps; ++i) {
    offsets[i] = std::clamp<int64_t>(first + static_cast<int64_t>(i), 0, length - 1) * stride;
  }
  return offsets;
}

template <int kChannels>
void cubic_pixel(const Image& image, Position x, Position y, uint8_t* out) {
  const auto columns = clamped<4>(x.pixel - 1, image.width, kChannels);
  const auto rows = clamped<4>(y.pixel - 1, image.height, image.row_bytes());
  // Shears and translations move along one axis only: the sum over the other one is its second value, exactly.
  for (int c = 0; c < kChannels; ++c) {
    const uint8_t* channel = image.pixels.data() + c;
    const auto along_row = [&](size_t row) {
      const uint8_t* v = channel + rows[row];
      if (x.fraction == 0.0) return static_cast<double>(v[columns[1]]);
      return cubic(v[columns[0]], v[columns[1]], v[columns[2]], v[columns[3]], x.fraction);
    };
    const double value =
        y.fraction == 0.0 ? along_row(1) : cubic(along_row(0), along_row(1), along_row(2), along_row(3), y.fraction);
    out[c] = truncated(value);
  }
}

template <int kChannels>
void linear_pixel(const Image& image, Position x, Position y, uint8_t* out) {
  const auto columns = clamped<2>(x.pixel, image.width, kChannels);
  const auto rows = clamped<2>(y.pixel, image.height, image.row_bytes());
  const auto between = [](double a, double b, double d) { return a + (b - a) * d; };
  for (int c = 0; c < kChannels; ++c) {
    const uint8_t* channel = image.pixels.data() + c;
    const uint8_t *upper = channel + rows[0], *lower = channel + rows[1];
    out[c] = static_cast<uint8_t>(between(between(upper[columns[0]], upper[columns[1]], x.fraction),
                                          between(lower[columns[0]], lower[columns[1]], x.fraction), y.fraction));
  }
}

template <int kChannels>
Image mapped(const Image& image, const AffineMap& map, Interpolation interpolation, const Color& fill) {
  Image out = Image::zeros(image.width, image.height, kChannels);
  const auto pixel = interpolation == Interpolation::kBicubic ? cubic_pixel<kChannels> : linear_pixel<kChannels>;
  const auto [a, b, c, d, e, f] = map;
  const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  for (int64_t row = 0; row < image.height; ++row) {
    const double y = static_cast<double>(row) + 0.5;
    uint8_t* to = out.row(row);
    for (int64_t column = 0; column < image.width; ++column, to += kChannels) {
      const double x = static_cast<double>(column) + 0.5;
      const double from_x = a * x + b * y + c;
      const double from_y = d * x + e * y + f;
      if (from_x >= 0.0 && from_x < width && from_y >= 0.0 && from_y < height) {
        pixel(image, Position(from_x), Position(from_y), to);
      } else {
        std::copy_n(fill.begin(), kChannels, to);
      }
    }
  }
  return out;
}

/// To 15 decimals, correctly, as Python's `round`.
double rounded_to_15(double value) {
  std::array<char, 32> text;  // |value| <= 1
  const auto end = std::to_chars(text.begin(), text.end(), value, std::chars_format::fixed, 15);
  UNIREPLK_CHECK(end.ec == std::errc(), "rotate: {} cannot be rounded", value);
  std::from_chars(text.begin(), end.ptr, value);
  return value;
}

}  // namespace

Image affine(const Image& image, const AffineMap& map, Interpolation interpolation, const Color& fill) {
  return image.channels == 1 ? mapped<1>(image, map, interpolation, fill) : mapped<3>(image, map, interpolation, fill);
}

Image rotate(const Image& image, double degrees, Interpolation interpolation, const Color& fill) {
  UNIREPLK_CHECK(std::abs(degrees) < 90, "rotate: {} degrees, expected less than 90", degrees);
  if (degrees == 0) return image;
  const double turn = degrees < 0 ? degrees + 360 : degrees;  // as Pillow, whose rounding is the reference
  const double angle = -(turn * (std::numbers::pi / 180));
  const double cosine = rounded_to_15(std::cos(angle)), sine = rounded_to_15(std::sin(angle));
  const double x = static_cast<double>(image.width) / 2, y = static_cast<double>(image.height) / 2;
  const double c = cosine * -x + sine * -y + x;
  const double f = -sine * -x + cosine * -y + y;
  return affine(image, {cosine, sine, c, -sine, cosine, f}, interpolation, fill);
}

}  // namespace unireplk::data::image
