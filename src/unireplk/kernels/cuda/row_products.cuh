#pragma once

#include <cuda_pipeline_primitives.h>

#include <algorithm>

#include "unireplk/kernels/cuda/direct.cuh"
#include "unireplk/kernels/cuda/mma.cuh"
#include "unireplk/kernels/cuda/row_pairs.h"

/// Products of rows of planes, added up over images on tensor cores: some warps, each with sums [columns of one
/// row][columns of another] of its own. kTiles: 16 columns each, of a plane's pitch.
namespace unireplk::kernels::cuda {

inline constexpr int kProductWarps = 14;  ///< more than there are distances
inline constexpr int kProductThreads = kProductWarps * kLanes;

inline RowPlanes planes_of(const Map& map) { return {map.images, map.height, map.width}; }

/// Images cut into parts, by their number and that of channels alone: a thread block for each channel and part.
struct ImageParts {
  static constexpr int kBlocksToAimAt = 528;
  static constexpr int kMostImages = 128;  ///< that float32 adds up

  int images, count;  ///< of a part, of parts

  explicit ImageParts(const Map& map) {
    const int sets = planes_of(map).images / kImagesAtOnce;
    const int wanted = std::max(ceil_div(kBlocksToAimAt, map.channels), ceil_div(map.images, kMostImages));
    const int sets_of_part = std::max(ceil_div(sets, std::max(std::min(sets, wanted), 1)), 1);
    images = sets_of_part * kImagesAtOnce;
    count = ceil_div(sets, sets_of_part);
  }
};

/// Rows of images of a channel of kMaps maps in shared memory, [buffer][map][image]: some at work, the next on their
/// way. With 16 bytes of padding behind each image products fetch eight of them without bank conflicts.
template <int kTiles, int kMaps>
struct StagedRowsOfPlanes {
  static constexpr int kImages = kImagesAtOnce * (kTiles == 1 ? 2 : 1);
  static constexpr int kBuffers = 2;
  static constexpr int kPitch = 16 * kTiles;  ///< of the planes

  int count;   ///< values of an image
  int stride;  ///< values from image to image

  constexpr __host__ __device__ explicit StagedRowsOfPlanes(int rows)
      : count(rows * kPitch), stride((count + kBanks - 1) / kBanks * kBanks + 8) {}

  constexpr __host__ __device__ int values() const { return kImages * stride; }  ///< from map to map
  constexpr size_t bytes() const { return sizeof(uint16_t) * kBuffers * kMaps * values(); }

 private:
  static constexpr int kBanks = 64;  // values of 128 bytes
};

/// Call visit(images of the first map) for each 16 of the images first to last of a channel; image i of map m lies
/// m * staged.values() + i * staged.stride behind. A thread block of kWarps.
/// \param rows  of each map, the first that is staged, of the channel's image 0
template <class T, int kWarps, int kTiles, int kMaps, class Visit>
__device__ __forceinline__ void each_images(const RowPlanes& planes, const StagedRowsOfPlanes<kTiles, kMaps>& staged,
                                            const T* const (&rows)[kMaps], int first, int last, uint16_t* shared,
                                            Visit visit) {
  constexpr int kImages = StagedRowsOfPlanes<kTiles, kMaps>::kImages;
  const auto stage = [&](int from, int buffer) {
    const int count = min(kImages, last - from), lane = threadIdx.x % kLanes;
#pragma unroll
    for (int map = 0; map < kMaps; ++map) {
      uint16_t* to = shared + (buffer * kMaps + map) * staged.values();
      for (int image = threadIdx.x / kLanes; image < count; image += kWarps) {
        const T* of_image = rows[map] + (from + image) * planes.image();
        for (int at = 8 * lane; at < staged.count; at += 8 * kLanes) {
          __pipeline_memcpy_async(to + image * staged.stride + at, of_image + at, sizeof(uint4));
        }
      }
    }
    __pipeline_commit();
  };
  stage(first, 0);
  int buffer = 0;
  for (int from = first; from < last; from += kImages) {
    const int next = from + kImages;
    if (next < last) {
      stage(next, 1 - buffer);
      __pipeline_wait_prior(1);
    } else {
      __pipeline_wait_prior(0);
    }
    __syncthreads();
    const uint16_t* images = shared + buffer * kMaps * staged.values();
    for (int image = 0; image < min(kImages, last - from); image += kImagesAtOnce) {
      visit(images + image * staged.stride);
    }
    __syncthreads();
    buffer = 1 - buffer;
  }
}

/// One row of 16 images, in registers as products take it on either side.
template <int kTiles>
struct RowOfImages {
  uint32_t parts[kTiles][4];

  __device__ __forceinline__ RowOfImages(const uint16_t* images, int stride, int offset) {
    const int lane = threadIdx.x % kLanes, matrix = lane / 8;
    const uint16_t* from = images + (matrix / 2 * 8 + lane % 8) * stride + offset + matrix % 2 * 8;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) fetch_transposed(parts[tile], from + 16 * tile);
  }
};

/// sums[i][l] += sum over the images of a[image][i] b[image][l]
template <class T, int kTiles>
__device__ __forceinline__ void add_row_product(const RowOfImages<kTiles>& a, const RowOfImages<kTiles>& b,
                                                float (&sums)[kTiles][2 * kTiles][4]) {
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int l = 0; l < 2 * kTiles; ++l) {
      const auto& left = a.parts[i];
      const auto& right = b.parts[l / 2];
      add_product<T>(sums[i][l], left[0], left[1], left[2], left[3], right[l % 2], right[2 + l % 2]);
    }
  }
}

/// Write a warp's matrix [width][width + 1].
template <int kTiles>
__device__ __forceinline__ void write_matrix(const float (&sums)[kTiles][2 * kTiles][4], int width, float* to) {
  const int lane = threadIdx.x % kLanes;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2 * kTiles; ++half) {
#pragma unroll
      for (int at = 0; at < 4; ++at) {
        const int i = 16 * tile + lane / 4 + at / 2 * 8, l = 8 * half + lane % 4 * 2 + at % 2;
        if (i < width && l <= width) to[i * (width + 1) + l] = sums[tile][half][at];
      }
    }
  }
}

/// Call `run` with the tiles of a plane.
template <class Run>
void with_tiles(const RowPlanes& planes, Run run) {
  if (planes.pitch == 16) return run.template operator()<1>();
  run.template operator()<2>();
}

}  // namespace unireplk::kernels::cuda
