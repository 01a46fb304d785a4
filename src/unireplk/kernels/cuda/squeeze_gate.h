#pragma once

#include "unireplk/kernels/cuda/element.h"
#include "unireplk/kernels/squeeze_gate.h"

/// The gate of kernels/squeeze_gate.h on a CUDA device: a thread block takes a few images and a part of a weight's rows
/// or columns, and sums are in a fixed order. All pointers in its structs are the device's then.
namespace unireplk::kernels::cuda {

void squeeze_gate(const SqueezeGate& gate, int64_t images, int64_t pixels, float* means, float* inner, float* to,
                  Stream stream);

/// What backward gives; gradients of weights are products of these with the means and the inner values.
struct SqueezeGradients {
  float* up = nullptr;     ///< [images, channels]: of what the second linear map gives
  float* down = nullptr;   ///< [images, gate.inner]: of what the first gives
  float* shift = nullptr;  ///< [images, channels]: of a pixel, by way of the means
  float* down_bias = nullptr;
  float* up_bias = nullptr;
};

/// \param values, products  as in kernels/squeeze_gate.h; means are not looked at
/// Numerics: products in float32; sums over images in float64.
void squeeze_gate_backward(const SqueezeGate& gate, int64_t images, int64_t pixels, const SqueezeValues& values,
                           const float* products, const SqueezeGradients& to, Stream stream);

}  // namespace unireplk::kernels::cuda
