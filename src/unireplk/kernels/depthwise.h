#pragma once

#include <cstdint>
#include <span>

#include "unireplk/kernels/parallel.h"

/// Depthwise convolution of float32 maps: one filter for each channel, stride 1, zero padding of half the dilated
/// kernel ("same"). Correlation, as in deep learning: y[p] = sum_k w[k] x[p + k].
namespace unireplk::kernels {

/// A map [images, height, width, channels], dense in this order (NHWC). Any count may be 0.
struct MapShape {
  int64_t images = 0;
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
};

struct KernelShape {
  int64_t size = 1;      ///< odd
  int64_t dilation = 1;  ///< at least 1

  int64_t reach() const { return dilation * (size / 2); }  ///< from the middle to the outermost tap
  int64_t taps() const { return size * size; }
};

/// Floats of workspace that each function below asks for, at most, on the instruction set in use.
int64_t depthwise_workspace(const MapShape& map, const KernelShape& kernel, int64_t workers);

/// y = x convolved with weight, plus bias.
///
/// \param weight     [channels, size, size]
/// \param bias       [channels], or null: 0.
/// \param workspace  depthwise_workspace() floats, any content.
/// Numerics: products and sums in float32.
void depthwise_forward(const MapShape& map, const KernelShape& kernel, const float* x, const float* weight,
                       const float* bias, float* y, std::span<float> workspace, const Parallel& parallel);

/// dx from dy: dx[p] = sum_k w[k] dy[p - k].
void depthwise_backward_data(const MapShape& map, const KernelShape& kernel, const float* dy, const float* weight,
                             float* dx, std::span<float> workspace, const Parallel& parallel);

/// dw[k] = sum_p dy[p] x[p + k], and the sum of dy.
///
/// \param dweight  [channels, size, size]
/// \param dbias    [channels], or null: not wanted.
/// Numerics: sums of rows within images, of images within chunks of 64, then of chunks in float64.
void depthwise_backward_weights(const MapShape& map, const KernelShape& kernel, const float* x, const float* dy,
                                float* dweight, float* dbias, std::span<float> workspace, const Parallel& parallel);

}  // namespace unireplk::kernels
