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

/// Vectors of pixels in memory, at any address.
template <class Float>
struct Pixels {
  Float* at(int64_t y, int64_t x) const { return first + y * row + x * pixel; }

  Float* first;
  int64_t row, pixel;  ///< floats to the next row and column; 0: the same vector for all
};

/// Maps whose vectors of channels are packed or written next. They lie scattered in memory, a cache line for each
/// pixel, so a kernel asks for some of them after each row of taps while it computes.
struct Upcoming {
  const float* maps[2] = {nullptr, nullptr};  ///< first pixels; null: none
  int64_t pixel = 0;                          ///< floats to the next pixel
  int64_t pixels = 0;
};

/// sums[k] += sum over pixels p of values[p] * plane[p + k]
/// \param values, plane  first pixels
/// \param sums           [size * size][lanes]
using CorrelateFunction = void (*)(const PlaneLayout& layout, const float* values, const float* plane, int64_t size,
                                   int64_t dilation, float* sums, const Upcoming& upcoming);

struct PlaneFunctions {
  int64_t lanes;  ///< channels in a vector

  /// to[p] = start[p] + sum over taps k of filter[k] * plane[p + k], the plane being 0 outside the map.
  /// `start` and `to` may be the same pixels unless tiles overlap.
  void (*convolve)(const PlaneLayout& layout, const Term& term, const Pixels<const float>& start,
                   const Pixels<float>& to, const Upcoming& upcoming);

  CorrelateFunction correlate;
};

/// Of the instruction set in use.
PlaneFunctions plane_functions();
CorrelateFunction correlate_function();

}  // namespace unireplk::kernels
