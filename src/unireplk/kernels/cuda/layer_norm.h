#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"
#include "unireplk/kernels/layer_norm.h"
#include "unireplk/kernels/rows.h"

/// The passes of kernels/layer_norm.h on a CUDA device: x and dx are of any type, y and dy float32, as everything else.
namespace unireplk::kernels::cuda {

/// Floats of workspace that layer_norm_backward() asks for.
int64_t layer_norm_workspace(const RowsShape& shape);

/// \param mean, inverse  [images, pixels], written.
void layer_norm(Element element, const RowsShape& shape, const void* x, const LayerNorm& norm, float* y, float* mean,
                float* inverse, Stream stream);

/// \param mean, inverse  as layer_norm() left them for the same x.
/// \param dx             or null: not wanted.
/// Numerics: sums over pixels as in row_passes.h.
void layer_norm_backward(Element element, const RowsShape& shape, const float* dy, const void* x, const LayerNorm& norm,
                         const float* mean, const float* inverse, void* dx, float* dweight, float* dbias,
                         float* workspace, Stream stream);

}  // namespace unireplk::kernels::cuda
