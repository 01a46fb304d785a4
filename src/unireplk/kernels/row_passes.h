#pragma once

#include <span>

#include "unireplk/kernels/parallel.h"
#include "unireplk/kernels/rows.h"

/// Passes over maps [images, pixels, channels] whose coefficients are tables [images, channels]. Bit for bit the same
/// for any number of workers.
namespace unireplk::kernels {

/// sums[image, channel] = sum over pixels of a; products[image, channel] = the same of a * (b - centre[channel]).
/// \param b          or null: no products, and neither centre nor `products` is looked at.
/// \param centre     or null: 0.
/// \param workspace  row_sums_workspace(shape, b ? 2 : 1)
void sum_rows(const RowsShape& shape, const float* a, const float* b, const float* centre, float* sums, float* products,
              std::span<float> workspace, const Parallel& parallel);

/// Mean and biased variance of each channel over all images and pixels, of which there is at least one.
/// \param workspace  row_sums_workspace(shape, 2)
void row_moments(const RowsShape& shape, const float* a, float* mean, float* variance, std::span<float> workspace,
                 const Parallel& parallel);

/// a * factor + (b - centre) * slope + shift
struct RowTerms {
  const float* a = nullptr;
  const float* factor = nullptr;  ///< [images, channels], or null: 1
  const float* b = nullptr;       ///< or null: nothing is added
  const float* centre = nullptr;  ///< [channels]
  const float* slope = nullptr;   ///< [images, channels]
  const float* shift = nullptr;   ///< [images, channels], or null: 0
};

void combine_rows(const RowsShape& shape, const RowTerms& terms, float* to, const Parallel& parallel);

}  // namespace unireplk::kernels
