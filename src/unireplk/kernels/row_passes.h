#pragma once

#include <span>

#include "unireplk/kernels/map_values.h"
#include "unireplk/kernels/parallel.h"
#include "unireplk/kernels/rows.h"

/// Passes over maps [images, pixels, channels] whose coefficients are tables [images, channels]. Of two maps that a
/// pass reads together, the first is of the second's type or float32. Bit for bit the same for any number of workers.
namespace unireplk::kernels {

/// sums[image, channel] = sum over pixels of a; products[image, channel] = the same of a * (b - centre[channel]).
/// \param centre     or null: 0.
/// \param products   or null: not wanted, and neither b nor centre is looked at.
/// \param workspace  row_sums_workspace(shape, products ? 2 : 1)
void sum_rows(const RowsShape& shape, const MapValues& a, const MapValues& b, const float* centre, float* sums,
              float* products, std::span<float> workspace, const Parallel& parallel);

/// Mean and biased variance of each channel over all images and pixels, of which there is at least one.
/// \param workspace  row_sums_workspace(shape, 2)
void row_moments(const RowsShape& shape, const MapValues& a, float* mean, float* variance, std::span<float> workspace,
                 const Parallel& parallel);

/// a * factor + (b - centre) * slope + shift
struct RowTerms {
  MapValues a;
  const float* factor = nullptr;  ///< [images, channels], or null: 1
  MapValues b = {};               ///< or null: nothing is added
  const float* centre = nullptr;  ///< [channels], or null: 0
  const float* slope = nullptr;   ///< [images, channels], or null: 1
  const float* shift = nullptr;   ///< [images, channels], or null: 0
};

/// \param to  of a's type or, where that is float32, of b's; may be a map that is read.
void combine_rows(const RowsShape& shape, const RowTerms& terms, const MapMemory& to, const Parallel& parallel);

}  // namespace unireplk::kernels
