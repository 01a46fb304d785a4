#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// A linear map's tensors.
struct LinearTensors {
  at::Tensor weight;  ///< [out, in]
  at::Tensor bias;    ///< [out]
};

/// Squeeze-excitation (spec: model, section 2.2): x * sigmoid(up(relu(down(mean of x over its pixels)))).
///
/// \param x     [N, C, H, W]; channels_last is not copied.
/// \param down  C to an inner number of channels; \param up  and back.
/// \return      [N, C, H, W], channels_last.
/// \throws ContractError when shapes do not fit; in backward of the kernel, when that is to be differentiated again.
/// Numerics: in float32 or bf16, and on CUDA devices fp16, x is read twice forward and once backward, where the
/// gradient is read twice; means and gate are in float32, and the bits the same for any number of threads. Anything
/// else is the graph of parts.
at::Tensor squeeze_excite(const at::Tensor& x, const LinearTensors& down, const LinearTensors& up);

}  // namespace unireplk::ops
