#pragma once

#include <cstdint>

#include "unireplk/kernels/parallel.h"

/// The passes of global response normalisation over a map [images, pixels, channels], dense, float32. What lies between
/// them is algebra of [images, channels]. Bit for bit the same for any number of workers; no workspace.
namespace unireplk::kernels {

struct RowsShape {
  int64_t images = 0;
  int64_t pixels = 0;
  int64_t channels = 0;
};

/// products[image, channel] = sum over pixels of a * b; a and b may be one map.
/// \param sums  [images, channels], or null: sums of a.
void channel_products(const RowsShape& shape, const float* a, const float* b, float* products, float* sums,
                      const Parallel& parallel);

/// to = a * factor[image, channel] + b * slope[image, channel]
void combine_channels(const RowsShape& shape, const float* a, const float* factor, const float* b, const float* slope,
                      float* to, const Parallel& parallel);

/// to = a * factor[image, channel] + shift[channel]; no shift: null.
void scale_channels(const RowsShape& shape, const float* a, const float* factor, const float* shift, float* to,
                    const Parallel& parallel);

}  // namespace unireplk::kernels
