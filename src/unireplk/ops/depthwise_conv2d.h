#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// Whether depthwise_conv2d() takes these: on the CPU, weights in float32 and x in float32 or a narrower type, kernels
/// from 7 or dilated ones. The same on a CUDA device in builds for CUDA, but no small dilated ones.
/// LibTorch's own convolution is as fast for smaller kernels.
bool has_depthwise_kernel(const at::Tensor& x, const at::Tensor& weight, int64_t dilation);

/// Convolve each channel with its own filter, stride 1, zero padding of half the dilated kernel.
///
/// \param x       [N, C, H, W], any strides; channels_last is not copied.
/// \param weight  [C, 1, K, K], K odd
/// \param bias    [C], or undefined: 0.
/// \return        [N, C, H, W], channels_last.
/// \throws ContractError when shapes do not fit or has_depthwise_kernel() says no; in backward, when that is to be
///         differentiated again.
/// Numerics: float32; the same bits for any number of threads. Equals conv2d(groups = C). A narrower x gives a result
/// of its type, rounded once; under autocast x is first rounded to autocast's type, the parameters never are
/// (spec/kernels.md section 3), except where a CUDA device's tensor cores convolve: those take weights in x's type.
at::Tensor depthwise_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t dilation);

}  // namespace unireplk::ops
