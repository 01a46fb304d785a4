#pragma once

#include "unireplk/kernels/cuda/element.h"

/// Products of rows of a channel, added up over images: P of row_pairs.h. Some images make a part.
namespace unireplk::kernels::cuda {

struct Map;

int row_pair_parts(const Map& map);

/// partial[part][channel][row_pairs(height)][width][width + 1], the last column sums of the row. Matrix `distance` has
/// the pairs that lie in no edge, added up; the others are of one pair each, as edge_pair() or, of a map of few lines,
/// ordered_pair() counts them.
/// \param planes  write_row_planes()
/// Numerics: products of 16-bit values exact, sums in float32 over up to 128 images.
void multiply_row_pairs(Element element, const Map& map, const void* planes, float* partial, Stream stream);

}  // namespace unireplk::kernels::cuda
