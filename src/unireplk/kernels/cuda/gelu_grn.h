#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"
#include "unireplk/kernels/rows.h"

/// The passes of kernels/gelu_grn.h on a CUDA device. Maps z, dy, dz and what is made of z are of one element type,
/// bias, tables and vectors float32. Here h = gelu(z + bias), in float32: by the error function of the device, or of
/// maps in 16 bits as gelu.h has it. Sums are in float32 within a thread block and in float64 over these.
namespace unireplk::kernels::cuda {

/// Floats of workspace that each function below asks for.
int64_t gelu_workspace(const RowsShape& shape);

/// squares[image, channel] = sum over pixels of h * h
void gelu_squares(Element element, const RowsShape& shape, const void* z, const float* bias, float* squares,
                  float* workspace, Stream stream);

/// to = h * factor[image, channel] + shift[channel]; no shift: null.
void gelu_scale(Element element, const RowsShape& shape, const void* z, const float* bias, const float* factor,
                const float* shift, void* to, Stream stream);

/// products[image, channel] = sum over pixels of dy * h; sums[channel] = sum over all of dy
void gelu_products(Element element, const RowsShape& shape, const void* dy, const void* z, const float* bias,
                   float* products, float* sums, float* workspace, Stream stream);

/// dz = (dy * factor[image, channel] + h * slope[image, channel]) * gelu'(z + bias); dbias[channel] = sum of dz before
/// it is rounded
void gelu_combine(Element element, const RowsShape& shape, const void* dy, const float* factor, const void* z,
                  const float* bias, const float* slope, void* dz, float* dbias, float* workspace, Stream stream);

}  // namespace unireplk::kernels::cuda
