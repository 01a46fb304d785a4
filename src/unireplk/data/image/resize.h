#pragma once

#include "unireplk/data/image/image.h"
#include "unireplk/data/image/interpolation.h"

namespace unireplk::data::image {

/// Resize with an antialiasing filter: separable, horizontal pass first, 8-bit between the passes, weights of 22
/// fractional bits. A pass is skipped when its size does not change. Bit-equal to Pillow's `resize`.
/// Source: spec/image.md section 3.5.
///
/// \throws ContractError when width or height is below one, or the result or the image between the passes has more
///         than kMaxPixels (see resize_fits).
Image resize(const Image& image, int64_t width, int64_t height, Interpolation interpolation);

/// Whether `resize` can make this size from that image.
bool resize_fits(const Image& image, int64_t width, int64_t height);

}  // namespace unireplk::data::image
