#include "unireplk/nn/circular_conv1d.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>

namespace unireplk::nn {

CircularConv1dImpl::CircularConv1dImpl(int64_t in_channels, int64_t out_channels, at::TensorOptions tensor) {
  weight = register_parameter("weight", at::empty({out_channels, in_channels, 3}, tensor));
}

at::Tensor CircularConv1dImpl::forward(const at::Tensor& x) {
  const auto neighbours = at::stack({x.roll(1, 1), x, x.roll(-1, 1)}, 3);  // [N, L, in, 3]
  return at::linear(neighbours.flatten(2), weight.flatten(1));
}

}  // namespace unireplk::nn
