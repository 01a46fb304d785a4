#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"
#include "unireplk/kernels/depthwise.h"

/// Depthwise convolution on a CUDA device, as kernels/depthwise.h defines it. Any odd size, dilation and map; those of
/// a size that networks use have kernels of their own.
namespace unireplk::kernels::cuda {

/// Floats of workspace that each function below asks for, at most.
int64_t depthwise_workspace(const MapShape& map, const KernelShape& kernel);

/// y = x convolved with weight, plus bias.
///
/// \param weight     [channels, size, size]
/// \param bias       [channels], or null: 0.
/// Numerics: products and sums in float32. Maps of bfloat16 or half may have their weights rounded to the same type.
void depthwise_forward(Element element, const MapShape& map, const KernelShape& kernel, const void* x,
                       const float* weight, const float* bias, void* y, float* workspace, Stream stream);

/// dx from dy: dx[p] = sum_k w[k] dy[p - k]. Numerics as above.
void depthwise_backward_data(Element element, const MapShape& map, const KernelShape& kernel, const void* dy,
                             const float* weight, void* dx, float* workspace, Stream stream);

/// dw[k] = sum_p dy[p] x[p + k], and the sum of dy.
///
/// \param dweight  [channels, size, size]
/// \param dbias    [channels], or null: not wanted.
/// Numerics: float32 within chunks of images, float64 over chunks in their order.
void depthwise_backward_weights(Element element, const MapShape& map, const KernelShape& kernel, const void* x,
                                const void* dy, float* dweight, float* dbias, float* workspace, Stream stream);

}  // namespace unireplk::kernels::cuda
