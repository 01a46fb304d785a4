#pragma once

#include <span>

#include "unireplk/kernels/map_values.h"
#include "unireplk/kernels/parallel.h"
#include "unireplk/kernels/rows.h"

/// The passes of bias, GELU and global response normalisation over a map z. Here h = gelu(z + bias), the exact one
/// (with the error function), is never stored but computed anew: within a few units in the last place of float32 down
/// to -1, and 1e-5 of itself in the far negative tail. What lies between the passes is algebra of tables [images,
/// channels]. All maps of a pass are of one type. Bit for bit the same for any number of workers.
namespace unireplk::kernels {

/// squares[image, channel] = sum over pixels of h * h
/// \param workspace  row_sums_workspace(shape, 1)
void gelu_squares(const RowsShape& shape, const MapValues& z, const float* bias, float* squares,
                  std::span<float> workspace, const Parallel& parallel);

/// to = h * factor[image, channel] + shift[channel]; no shift: null.
void gelu_scale(const RowsShape& shape, const MapValues& z, const float* bias, const float* factor, const float* shift,
                const MapMemory& to, const Parallel& parallel);

/// products[image, channel] = sum over pixels of dy * h; sums[channel] = sum over all of dy
/// \param workspace  row_sums_workspace(shape, 2)
void gelu_products(const RowsShape& shape, const MapValues& dy, const MapValues& z, const float* bias, float* products,
                   float* sums, std::span<float> workspace, const Parallel& parallel);

/// dz = (dy * factor[image, channel] + h * slope[image, channel]) * gelu'(z + bias); dbias[channel] = sum of dz
/// \param workspace  row_sums_workspace(shape, 1)
void gelu_combine(const RowsShape& shape, const MapValues& dy, const float* factor, const MapValues& z,
                  const float* bias, const float* slope, const MapMemory& dz, float* dbias, std::span<float> workspace,
                  const Parallel& parallel);

}  // namespace unireplk::kernels
