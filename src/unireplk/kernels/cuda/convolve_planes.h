#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"

/// Convolution with kernels of 13 x 13 of a map whose channels lie apart, on tensor cores: a row of the result is a sum
/// of 13 rows, each times a small matrix, the same for all images (pair_products.cuh). The result is a map as others
/// are.
namespace unireplk::kernels::cuda {

struct Map;

/// Whether maps of this type and size have it: 16 bits, 12 to 31 rows and columns or at most 9 of both, a multiple of 8
/// channels; where a thread block may have so many bytes of shared memory.
bool can_convolve_planes(Element element, const Map& map, int64_t shared_bytes);

/// Bytes of workspace, which starts at a multiple of 256 bytes.
int64_t convolve_planes_workspace(const Map& map);

/// \param planes  [channels][images][height][pitch], 16-byte aligned: pitch 16 for at most 15 columns, else 32; images
///                up to a multiple of 16. Columns behind the map's may hold any finite values.
/// \param packed  [169][channels]
/// \param bias    [channels], or null: 0.
/// \param y       16-byte aligned.
/// Numerics: weights are rounded to the element type; sums are float32.
void convolve_planes(Element element, const Map& map, const void* planes, const float* packed, const float* bias,
                     void* y, void* workspace, Stream stream);

/// What convolve_planes() multiplies with: [channels][13], each laid out as the PairMatrix of the map's Cut.
void make_tap_matrices(Element element, const Map& map, const float* packed, void* values, Stream stream);

/// A map [images, height, width, channels] from planes [channels][images][height][pitch] of 16 bits, of an even pitch.
/// A multiple of 8 channels, 16-byte aligned both.
void join_planes(const Map& map, const void* planes, int pitch, void* y, Stream stream);

}  // namespace unireplk::kernels::cuda
