#pragma once

#include <span>

#include "unireplk/kernels/map_values.h"
#include "unireplk/kernels/parallel.h"
#include "unireplk/kernels/rows.h"

/// Layer normalisation of each pixel over its channels, and GELU behind it where that is wanted. Bit for bit the same
/// for any number of workers.
namespace unireplk::kernels {

struct LayerNorm {
  const float* weight = nullptr;  ///< [channels]
  const float* bias = nullptr;    ///< [channels]
  float eps = 0;
  bool then_gelu = false;
};

/// y = (x - mean) * inverse * weight + bias, with the mean of the pixel's channels and inverse = 1 / sqrt(their biased
/// variance + eps), or gelu() of that (kernels/gelu_grn.h).
/// \param mean, inverse  [images, pixels], written.
void layer_norm(const RowsShape& shape, const MapValues& x, const LayerNorm& norm, float* y, float* mean,
                float* inverse, const Parallel& parallel);

/// \param mean, inverse  as layer_norm() left them for the same x.
/// \param dx             of x's type, or none: not wanted.
/// \param workspace      row_sums_workspace(shape, 3)
void layer_norm_backward(const RowsShape& shape, const float* dy, const MapValues& x, const LayerNorm& norm,
                         const float* mean, const float* inverse, const MapMemory& dx, float* dweight, float* dbias,
                         std::span<float> workspace, const Parallel& parallel);

}  // namespace unireplk::kernels
