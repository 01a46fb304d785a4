#pragma once

#include "unireplk/data/image/image.h"

/// Operations on the values of 8-bit pixels, bit-equal to Pillow's ImageOps and ImageEnhance. A grey image is its own
/// luma. Source: spec/image.md section 3.4.
namespace unireplk::data::image {

/// Stretch each channel so that its smallest value becomes 0 and its largest 255.
Image autocontrast(Image image);

/// Spread the values of each channel evenly.
Image equalize(Image image);

Image invert(Image image);

/// Invert the values from `threshold` on.
Image solarize(Image image, int64_t threshold);

/// Add to the values below 128, up to 255.
Image solarize_add(Image image, int64_t add);

/// Keep the upper `bits` of each value; black for none of them. \throws ContractError unless 0 <= bits <= 8.
Image posterize(Image image, int64_t bits);

// A factor of 1 changes nothing, 0 gives the image's other extreme, and above 1 leads away from that.

Image adjust_color(Image image, double factor);       ///< 0: grey
Image adjust_contrast(Image image, double factor);    ///< 0: its mean luma everywhere
Image adjust_brightness(Image image, double factor);  ///< 0: black
Image adjust_sharpness(Image image, double factor);   ///< 0: smoothed, but for the outermost pixels

}  // namespace unireplk::data::image
