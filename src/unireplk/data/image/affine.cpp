#include "unireplk/data/image/affine.h"

#include <charconv>
#include <cmath>
#include <numbers>
#include <system_error>

#include "unireplk/core/error.h"
#include "unireplk/data/image/pixel_shape.h"

namespace unireplk::data::image {
namespace {

/// To 15 decimals, correctly, as Python's `round`.
double rounded_to_15(double value) {
  std::array<char, 32> text;  // |value| <= 1
  const auto end = std::to_chars(text.begin(), text.end(), value, std::chars_format::fixed, 15);
  UNIREPLK_CHECK(end.ec == std::errc(), "rotate: {} cannot be rounded", value);
  std::from_chars(text.begin(), end.ptr, value);
  return value;
}

}  // namespace

Image mirror(const Image& image) {
  Image out = image.beside(image.width, image.height, image.channels);
  kernels::mirror(shape_of(image), image.pixels.data(), out.pixels.data());
  return out;
}

Image affine(const Image& image, const AffineMap& map, Interpolation interpolation, const Color& fill) {
  Image out = image.beside(image.width, image.height, image.channels);
  const auto seen = interpolation == Interpolation::kBicubic ? kernels::Seen::kCubic : kernels::Seen::kLinear;
  kernels::affine(shape_of(image), image.pixels.data(), map, seen, fill, out.pixels.data(),
                  *image.pixels.get_allocator().memory);
  return out;
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
