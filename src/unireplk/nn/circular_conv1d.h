#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace unireplk::nn {

/// Convolution with kernel 3 along time, whose first and last row are neighbours; no bias.
struct CircularConv1dImpl : torch::nn::Module {
  CircularConv1dImpl(int64_t in_channels, int64_t out_channels, at::TensorOptions tensor);

  at::Tensor forward(const at::Tensor& x);  ///< [N, L, in] -> [N, L, out]

  at::Tensor weight;  ///< [out, in, 3]
};
TORCH_MODULE(CircularConv1d);

}  // namespace unireplk::nn
