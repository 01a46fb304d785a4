#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"

/// Maps as planes of one channel, for products on tensor cores over images.
namespace unireplk::kernels::cuda {

struct Map;

int64_t row_planes_bytes(const Map& map);

/// planes[channel][image][row][pitch] of x: row_pairs.h, RowPlanes. x is a map of 16 bits with a multiple of 8
/// channels; x and planes start at multiples of 16 bytes.
void write_row_planes(Element element, const Map& map, const void* x, void* planes, Stream stream);

}  // namespace unireplk::kernels::cuda
