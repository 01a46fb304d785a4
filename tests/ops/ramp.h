#pragma once

#include <ATen/ATen.h>

namespace unireplk::ops {

/// A wave of values in [-1, 1]: the sine of `pace` times the index.
inline at::Tensor ramp(at::IntArrayRef shape, double pace = 0.37, at::ScalarType dtype = at::kDouble) {
  int64_t count = 1;
  for (const auto size : shape) count *= size;
  return (at::arange(count, dtype) * pace).sin().view(shape);
}

/// The largest difference of two elements.
inline double gap(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

}  // namespace unireplk::ops
