#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops::cuda {

/// As ops::has_depthwise_kernel(), for x on a CUDA device.
bool has_depthwise_kernel(const at::Tensor& x, const at::Tensor& weight);

/// As ops::depthwise_conv2d(), which has checked the shapes.
at::Tensor depthwise_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t dilation);

}  // namespace unireplk::ops::cuda
