#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"
#include "unireplk/kernels/rows.h"

/// The passes of kernels/row_passes.h on a CUDA device; tables and vectors are float32. Sums are in float32 within a
/// thread block and in float64 over these.
namespace unireplk::kernels::cuda {

/// A map to read. Of two maps that a pass reads together, the second is of any type, the first of the same or float32.
struct MapValues {
  Element element = Element::kFloat;
  const void* values = nullptr;
};

/// Floats of workspace that each function below asks for.
int64_t row_passes_workspace(const RowsShape& shape);

/// sums[image, channel] = sum over pixels of a; products[image, channel] = the same of a * (b - centre[channel]).
/// \param centre    or null: 0.
/// \param products  or null: not wanted, and neither b nor centre is looked at.
void sum_rows(const RowsShape& shape, const MapValues& a, const MapValues& b, const float* centre, float* sums,
              float* products, float* workspace, Stream stream);

/// Mean and biased variance of each channel over all images and pixels, of which there is at least one. Those of
/// threads and thread blocks are merged, so that nothing cancels.
void row_moments(const RowsShape& shape, const MapValues& a, float* mean, float* variance, float* workspace,
                 Stream stream);

/// a * factor + (b - centre) * slope + shift
struct RowTerms {
  MapValues a;
  const float* factor = nullptr;  ///< [images, channels], or null: 1
  MapValues b;                    ///< or null: nothing is added
  const float* centre = nullptr;  ///< [channels]
  const float* slope = nullptr;   ///< [images, channels]
  const float* shift = nullptr;   ///< [images, channels], or null: 0
};

/// \param element  of `to`: that of a or, where that is float32, that of b.
void combine_rows(const RowsShape& shape, const RowTerms& terms, Element element, void* to, Stream stream);

}  // namespace unireplk::kernels::cuda
