#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// Global response normalisation (spec: model, section 2.3): (gamma * Nx + 1) * x + beta, where Nx is the L2
/// norm of a channel over the map, divided by the mean of these norms over the channels plus 1e-6.
///
/// \param x      [N, H, W, C], floating.
/// \param gamma  [1, 1, 1, C]
/// \param beta   [1, 1, 1, C], or undefined: nothing is added.
/// \return       [N, H, W, C], dtype of x.
/// \throws ContractError when shapes do not fit.
/// Numerics: norms, their mean and the ratio in float32 or wider. The gradient of a norm at 0 is 0. In float32 on the
/// CPU x is read twice forward and twice backward, the bits are the same for any number of threads, and a gradient
/// cannot be differentiated again.
at::Tensor grn(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta);

}  // namespace unireplk::ops
