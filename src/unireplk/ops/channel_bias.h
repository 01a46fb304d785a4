#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// Whether a convolution of `x` does well to leave its bias to add_channel_bias(): in training on a CUDA device, where
/// cuDNN's do without, and LibTorch adds it and adds up its gradient by kernels that read maps slowly.
bool leaves_out_bias(const at::Tensor& x, const at::Tensor& bias);

/// Add bias[c] to channel c of a map.
/// \param y     [N, C, H, W], of a type that has_passes() tells.
/// \param bias  [C], float32.
/// Numerics: rounded once. The gradient of the bias is summed up in float32, whatever the map.
at::Tensor add_channel_bias(const at::Tensor& y, const at::Tensor& bias);

}  // namespace unireplk::ops
