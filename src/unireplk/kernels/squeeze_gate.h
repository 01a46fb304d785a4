#pragma once

#include <cstdint>
#include <span>

#include "unireplk/kernels/parallel.h"

namespace unireplk::kernels {

/// The two linear maps between the means of a map's channels and what they are multiplied with.
struct SqueezeGate {
  int64_t channels = 0;
  int64_t inner = 0;
  const float* down_weight = nullptr;  ///< [inner, channels]
  const float* down_bias = nullptr;    ///< [inner]
  const float* up_weight = nullptr;    ///< [channels, inner]
  const float* up_bias = nullptr;      ///< [channels]
};

/// inner = relu(means * down_weight^T + down_bias), gate = sigmoid(inner * up_weight^T + up_bias), for each image. Bit
/// for bit the same for any number of workers, as is backward.
/// \param pixels  by which the sums are divided
/// \param means   [images, channels]: sums over pixels, which become means
/// \param inner   [images, gate.inner], written, and
/// \param to      [images, channels]
void squeeze_gate(const SqueezeGate& gate, int64_t images, int64_t pixels, float* means, float* inner, float* to,
                  const Parallel& parallel);

/// What squeeze_gate() left for backward.
struct SqueezeValues {
  const float* means = nullptr;  ///< [images, channels]
  const float* inner = nullptr;  ///< [images, gate.inner]
  const float* gate = nullptr;   ///< [images, channels]
};

struct SqueezeGradients {
  float* shift = nullptr;        ///< [images, channels]: of a pixel, by way of the means
  float* down_weight = nullptr;  ///< those below as in SqueezeGate
  float* down_bias = nullptr;
  float* up_weight = nullptr;
  float* up_bias = nullptr;
};

/// Floats of workspace for squeeze_gate_backward().
int64_t squeeze_gate_workspace(const SqueezeGate& gate, int64_t images);

/// \param gate      its biases are not looked at
/// \param products  [images, channels]: the gradient of the gates
/// Numerics: products in float32; sums over images in float64 for biases, in float32 for weights.
void squeeze_gate_backward(const SqueezeGate& gate, int64_t images, int64_t pixels, const SqueezeValues& values,
                           const float* products, const SqueezeGradients& to, std::span<float> workspace,
                           const Parallel& parallel);

}  // namespace unireplk::kernels
