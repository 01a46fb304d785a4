#pragma once

#include "unireplk/kernels/block.h"
#include "unireplk/kernels/cpu/layout.h"

/// The loops that all depthwise kernels are made of. They work on one vector of channels at a time: planes are as
/// PlaneLayout says, filters are [size * size][lanes], all at addresses that are whole vectors.
namespace unireplk::kernels {

/// A plane and the filter it is correlated with.
struct Term {
  const float* plane;  ///< its first pixel
  const float* filters;
  int64_t size;  ///< reach within that of the layout
  int64_t dilation;
};

/// Terms of one convolution.
inline constexpr int64_t kMaxTerms = kMaxBranches;

/// Maps whose vectors of channels are packed next. They lie scattered in memory, a cache line for each pixel, so a
/// kernel asks for them row by row while it computes.
struct Upcoming {
  const float* maps[2] = {nullptr, nullptr};  ///< first pixels; null: none
  int64_t row = 0, pixel = 0;                 ///< floats to the next row and column
};

struct PlaneFunctions {
  int64_t lanes;  ///< channels in a vector

  /// to[p] = start + sum over terms and taps k of filter[k] * plane[p + k], planes being 0 outside the map.
  /// \param start  [lanes], or null: 0.
  /// \param to     first pixel, at any address; `to_row` and `to_pixel` floats lead to the next row and column.
  void (*convolve)(const PlaneLayout& layout, const Term* terms, int64_t count, const float* start, float* to,
                   int64_t to_row, int64_t to_pixel, const Upcoming& upcoming);

  /// sums[k] += sum over pixels p of values[p] * plane[p + k]
  /// \param values, plane  first pixels
  /// \param sums           [size * size][lanes]
  void (*correlate)(const PlaneLayout& layout, const float* values, const float* plane, int64_t size, int64_t dilation,
                    float* sums, const Upcoming& upcoming);
};

/// Of the instruction set in use.
PlaneFunctions plane_functions();

}  // namespace unireplk::kernels
