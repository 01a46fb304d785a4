#pragma once

#include <ATen/core/Tensor.h>

#include <array>

#include "unireplk/data/image/image.h"
#include "unireplk/tensor/sample.h"

/// Maps as people look at them.
namespace unireplk::data::image {

/// The colour of a share in [0, 1], RGB: from dark violet over blue and green to light yellow. Equal steps of the share
/// are equal steps of lightness, so that the picture reads the same without colours.
std::array<uint8_t, 3> map_colour(double share);

/// A picture of one map.
///
/// \param map  uint8 [H, W, 1 or 3]: as it is. Floating [C, H, W]: three channels are red, green and blue, clipped to
///             [0, 1]; of any other number each is a picture of its own, one below the other, in the colours of
///             map_colour between the smallest and the largest finite value of all; what is not finite is grey.
///             Floating [H, W] is one channel.
/// \param view Of frequency and time, whichever is rows: time goes to the right, frequency upwards.
/// \throws ContractError for other types and shapes, or a side of zero.
Image picture_of(const at::Tensor& map, View view);

/// Pictures side by side, `columns` in a row, white between them; the size of the largest each.
/// \param scale  pixels that become of one, in both directions.
Image grid_of(const std::vector<Image>& pictures, int64_t columns, int64_t scale);

}  // namespace unireplk::data::image
