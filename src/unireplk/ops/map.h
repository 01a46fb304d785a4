#pragma once

#include <ATen/core/Tensor.h>

#include "unireplk/kernels/depthwise.h"

namespace unireplk::ops {

/// The shape of a map [N, C, H, W] as kernels have it.
kernels::MapShape map_shape(const at::Tensor& x);

/// float32 on the CPU.
bool is_plain_float(const at::Tensor& tensor);

/// The same, and contiguous.
bool is_dense_float(const at::Tensor& tensor);

/// float32 on the CPU, and not under an autocast that would narrow it.
bool stays_plain_float(const at::Tensor& x);

/// Whether kernels take the values of `x`: float32, or a narrower type that becomes float32 without loss.
bool is_kernel_input(const at::Tensor& x);

/// A map of the same shape in channels_last, its values unset.
at::Tensor empty_map(const at::Tensor& like);
at::Tensor empty_map(const at::Tensor& like, at::ScalarType dtype);

}  // namespace unireplk::ops
