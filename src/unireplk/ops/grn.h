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
/// Numerics: norms, their mean and the ratio in float32 or wider. The gradient of a norm at 0 is 0.
at::Tensor grn(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta);

/// grn() without beta of a map that is not needed any more: where a kernel takes it (float32 on the CPU), it becomes
/// the result. No gradients flow through it.
at::Tensor grn_in_place(at::Tensor x, const at::Tensor& gamma);

/// grn(gelu(x * weight^T + bias), gamma, beta): what makes the widest map of a block.
///
/// \param x       [N, H, W, in], floating.
/// \param weight  [out, in]
/// \param bias    [out]
/// \param gamma, beta  as grn() has them, for `out` channels.
/// \return        [N, H, W, out]
/// \throws ContractError when shapes do not fit; in backward of the kernel, when that is to be differentiated again.
/// Numerics: in float32 or bf16, and on CUDA devices fp16 (under autocast, in its type), what follows the product is
/// two passes over it forward and two backward, its GELU is computed anew in each, in float32, and the bits are the
/// same for any number of threads. Anything else is the graph of parts.
at::Tensor linear_gelu_grn(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           const at::Tensor& gamma, const at::Tensor& beta);

}  // namespace unireplk::ops
