#pragma once

#include <ATen/core/Tensor.h>

#include "unireplk/kernels/depthwise.h"

namespace unireplk::ops {

/// The shape of a map [N, C, H, W] as kernels have it.
kernels::MapShape map_shape(const at::Tensor& x);

/// A map of the same shape in channels_last, its values unset.
at::Tensor empty_map(const at::Tensor& like);

}  // namespace unireplk::ops
