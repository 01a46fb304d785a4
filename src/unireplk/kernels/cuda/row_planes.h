#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"

/// Maps as planes of one channel, for products on tensor cores over images.
namespace unireplk::kernels::cuda {

struct Map;

/// Whether a map has planes and what is made of them: of 16 bits, of 12 by 12 to 31 by 31 pixels, of a multiple of 8
/// channels.
bool has_row_planes(Element element, const Map& map);

int64_t row_planes_bytes(const Map& map);

/// planes[channel][image][row][pitch] of x: row_pairs.h, RowPlanes. x and planes start at multiples of 16 bytes.
void write_row_planes(Element element, const Map& map, const void* x, void* planes, Stream stream);

}  // namespace unireplk::kernels::cuda
