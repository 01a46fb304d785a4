#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"
#include "unireplk/kernels/depthwise.h"

/// What depthwise.h and block.h are made of. Weights are packed: [taps][channels], so that a warp reads 32 channels.
namespace unireplk::kernels::cuda {

struct Map;

/// The kernel size that has kernels of its own, undilated.
inline constexpr int kTunedSize = 13;

Map map_of(const MapShape& shape);

/// y = x convolved with weights, plus bias (or null), by the fastest kernel that takes them.
void convolve(Element element, const Map& map, const KernelShape& kernel, const void* x, const float* packed,
              const float* bias, void* y, Stream stream);

/// For kernels of kTunedSize, on tensor cores: maps of 16 bits, of at most 32 by 32 pixels and a multiple of 8
/// channels; not those for which other kernels are faster.
bool can_convolve_bands(Element element, const Map& map, const KernelShape& kernel);
void convolve_bands(Element element, const Map& map, const void* x, const float* packed, const float* bias, void* y,
                    Stream stream);

/// For kernels of kTunedSize, undilated. Any map and type.
void convolve_tiles(Element element, const Map& map, const void* x, const float* packed, const float* bias, void* y,
                    Stream stream);

/// Images of which correlate() makes one sum.
int chunk_images(const Map& map);

/// partial[chunk][tap][channel] = sum over the images of a chunk of dy[p] x[p + tap]; and [chunk][taps] is the sum of
/// dy.
void correlate(Element element, const Map& map, const KernelShape& kernel, const void* x, const void* dy,
               float* partial, Stream stream);

/// Whether correlate_planes() takes maps of this size where a thread block may have so many bytes of shared memory.
bool can_correlate_planes(const Map& map, int64_t shared_bytes);

/// Parts of which correlate_planes() makes a sum each.
int correlation_parts(const Map& map);

/// For kernels of kTunedSize: partial[part][tap][channel] as correlate() has it for chunks, on tensor cores.
/// \param x, dy  row planes (row_planes.h) of both maps
void correlate_planes(Element element, const Map& map, const void* x, const void* dy, float* partial, Stream stream);

/// sums[tap][channel] of partial[chunk][tap][channel], in float64, in the order of chunks.
void add_chunks(const float* partial, int chunks, int taps, int channels, float* sums, Stream stream);

/// packed[tap][channel] = weight[channel][tap]; `is_flipped`: of the last tap first.
void pack_weights(const float* weight, int taps, int channels, bool is_flipped, float* packed, Stream stream);
/// The way back.
void unpack_weights(const float* packed, int taps, int channels, float* weight, Stream stream);

}  // namespace unireplk::kernels::cuda
