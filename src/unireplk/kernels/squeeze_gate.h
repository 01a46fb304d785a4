#pragma once

#include <cstdint>

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
/// for bit the same for any number of workers.
/// \param means  [images, channels]
/// \param inner  [images, gate.inner], written, and
/// \param to     [images, channels]
void squeeze_gate(const SqueezeGate& gate, int64_t images, const float* means, float* inner, float* to,
                  const Parallel& parallel);

}  // namespace unireplk::kernels
