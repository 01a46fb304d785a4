#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// Layer normalisation over the channels of a map, at every pixel: (x - mean) / sqrt(var + eps) * weight +
/// bias with the biased variance (spec: model, section 2.4).
///
/// \param x             [N, C, H, W], channels_last: then its NHWC view is contiguous and nothing is copied.
/// \param weight, bias  [C]
/// \param then_gelu     the exact GELU of that, with no map between.
/// \return              [N, C, H, W], channels_last.
/// \throws ContractError when shapes do not fit; in backward of the kernel, when that is to be differentiated again.
/// Numerics: mean and variance in float32 or wider. It is a kernel, with the same bits for any number of threads, of
/// float32 and, under autocast, of what else passes take (ops/passes.h); its result is float32 then. Autocast to fp16
/// has none on the CPU.
at::Tensor channel_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                              bool then_gelu = false);

}  // namespace unireplk::ops
