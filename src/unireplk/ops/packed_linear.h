#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// A Linear whose weights stay as they are: x * weight^T + bias. In float32 on the CPU they are laid out once in the
/// order in which oneDNN reads them, where each call of at::linear() would lay them out again. For inference: no
/// gradients flow through it.
class PackedLinear {
 public:
  PackedLinear() = default;

  /// \param weight  [out, in]
  /// \param bias    [out]
  /// \param rows    of the maps it will see, about: the order depends on it, results do not but for rounding.
  PackedLinear(at::Tensor weight, at::Tensor bias, int64_t rows);

  /// \param x  [..., in]; packed weights serve float32 without autocast, others take at::linear().
  at::Tensor apply(const at::Tensor& x) const;

  /// gelu(apply(x)), as one pass with packed weights.
  at::Tensor apply_with_gelu(const at::Tensor& x) const;

 private:
  bool serves(const at::Tensor& x) const;
  at::Tensor run(const at::Tensor& x, const char* activation) const;

  at::Tensor weight_, bias_;
  at::Tensor packed_;  ///< undefined: none
};

}  // namespace unireplk::ops
