#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// A convolution over all channels whose weights stay as they are, zero padding of half the dilated kernel on every
/// side. In float32 on the CPU they are laid out once in the order in which oneDNN reads them, where each call of
/// at::conv2d() lays them out again. For inference: no gradients flow through it.
class PackedConv2d {
 public:
  PackedConv2d() = default;

  /// \param weight  [out, in, K, K], K odd
  /// \param bias    [out], or undefined
  /// \param map     sizes [N, in, H, W] of the maps it will see, about: the order depends on them, results do not but
  ///                for rounding.
  PackedConv2d(const at::Tensor& weight, at::Tensor bias, int64_t stride, int64_t dilation, at::IntArrayRef map);

  /// Whether apply() takes it: weights and map in float32 on the CPU, no autocast.
  bool serves(const at::Tensor& x) const;

  /// \return [N, out, H', W'], channels_last
  at::Tensor apply(const at::Tensor& x) const;

 private:
  at::Tensor packed_;  ///< undefined: none
  at::Tensor bias_;
  int64_t padding_ = 0, stride_ = 1, dilation_ = 1;
};

}  // namespace unireplk::ops
