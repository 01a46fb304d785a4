#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// A map for the two that read it where a block begins.
struct ForkedMap {
  at::Tensor whole;   ///< as it is, for the sum at the end of the block
  at::Tensor narrow;  ///< as autocast gives it to a convolution
};

/// Narrow a map under autocast such that the gradients of both readers are added up in one pass over memory: autograd
/// would first widen that of the narrow one, in a pass of its own. Where no autocast narrows `x`, or no gradient is
/// wanted of it, or passes do not take it, both are `x`.
/// \param x  [N, C, H, W]
/// Numerics: what autograd would give.
ForkedMap fork_map(const at::Tensor& x);

}  // namespace unireplk::ops
