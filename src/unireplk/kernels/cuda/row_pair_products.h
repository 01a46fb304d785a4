#pragma once

#include "unireplk/kernels/cuda/element.h"

/// Products of rows of a channel, added up over images and columns: what row_pairs.h says of matrices. Some images make
/// a part.
namespace unireplk::kernels::cuda {

struct Map;

int row_pair_parts(const Map& map);

/// partial[part][channel][row_pairs(height)][kColumnSums], written: sums over each matrix.
/// \param planes  write_row_planes()
/// Numerics: products of 16-bit values exact, sums over images and columns in float32.
void multiply_row_pairs(Element element, const Map& map, const void* planes, float* partial, Stream stream);

}  // namespace unireplk::kernels::cuda
