#pragma once

#include <array>
#include <cstdint>

#include "unireplk/data/image/image.h"
#include "unireplk/data/image/interpolation.h"

/// Geometry that keeps the size of an image. Bit-equal to Pillow's `transform` and `rotate`, whose cubic (a = -1, not
/// antialiased) is not the one of `resize`. Source: spec/image.md section 3.3.
namespace unireplk::data::image {

/// (a, b, c, d, e, f): the middle (x, y) of a pixel of the result shows the place (ax + by + c, dx + ey + f) of the
/// image, both in pixels from the upper left corner.
using AffineMap = std::array<double, 6>;

/// One value for each channel.
using Color = std::array<uint8_t, 3>;

/// Left and right exchanged.
Image mirror(const Image& image);

/// \param fill  what lies outside of the image; a grey image takes the first value.
Image affine(const Image& image, const AffineMap& map, Interpolation interpolation, const Color& fill);

/// About the middle, counter-clockwise for positive angles.
/// \throws ContractError for angles of 90 degrees and more, which would be transpositions.
Image rotate(const Image& image, double degrees, Interpolation interpolation, const Color& fill);

}  // namespace unireplk::data::image
