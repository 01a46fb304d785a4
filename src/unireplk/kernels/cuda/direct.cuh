#pragma once

#include "unireplk/kernels/cuda/values.cuh"

/// Parts of kernels in which a lane is a channel: 32 neighbouring channels of a pixel are read at once, a thread holds
/// a tile of sums of its own channel, weights lie in shared memory as [taps][32].
namespace unireplk::kernels::cuda {

inline constexpr int kWarps = 8;             ///< of a thread block
inline constexpr int kResidentBlocks = 528;  ///< that kernels over tasks are cut into: four for each of 132 processors

/// How wide a map is, in tiles: known ones need no checks, and no sums over columns that are not there.
enum class Columns { kAny, kOneTile, kTwoTiles };

/// Copy weights [taps][channels] of the block's channels, and wait for all.
__device__ __forceinline__ void stage_weights(const float* packed, int taps, int channels, float* shared) {
  const int c = blockIdx.y * kLanes + threadIdx.x;
  for (int tap = threadIdx.y; tap < taps; tap += blockDim.y) {
    shared[tap * kLanes + threadIdx.x] = c < channels ? packed[int64_t{tap} * channels + c] : 0.F;
  }
  __syncthreads();
}

/// Read the kTile + kSize - 1 columns that a tile's row needs, of which those in [kLow, kHigh) may lie in the map.
/// \param row  at column `first` of the map, which may lie outside.
template <int kWindow, int kLow, int kHigh, bool kChecked, class T>
__device__ __forceinline__ void load_window(const T* row, int first, const Map& map, float (&window)[kWindow]) {
#pragma unroll
  for (int j = kLow; j < kHigh; ++j) {
    const bool is_inside = !kChecked || static_cast<unsigned>(first + j) < static_cast<unsigned>(map.width);
    window[j] = is_inside ? to_float(row[j * map.channels]) : 0.F;
  }
}

/// Add a row of taps `dilation` apart, the first of which meets column `kSkip` of the window.
/// \param weights  at the lane's channel.
template <int kTaps, int kDilation, int kSkip, int kLow, int kHigh, int kTile, int kWindow>
__device__ __forceinline__ void add_row(const float (&window)[kWindow], const float* weights, float (&sums)[kTile]) {
#pragma unroll
  for (int kx = 0; kx < kTaps; ++kx) {
    const float weight = weights[kx * kLanes];
#pragma unroll
    for (int j = 0; j < kTile; ++j) {
      const int i = j + kSkip + kx * kDilation;
      if (i >= kLow && i < kHigh) sums[j] = fmaf(weight, window[i], sums[j]);
    }
  }
}

/// Call `run` with the constants kLow, kHigh and kChecked of a tile that begins at column x0.
template <Columns kColumns, int kTile, int kReach, class Run>
__device__ __forceinline__ void with_columns(int x0, Run run) {
  constexpr int kWindow = kTile + 2 * kReach;
  if constexpr (kColumns == Columns::kOneTile) {
    run.template operator()<kReach, kReach + kTile, false>();
  } else if constexpr (kColumns == Columns::kTwoTiles) {
    if (x0 == 0) {
      run.template operator()<kReach, kWindow, false>();
    } else {
      run.template operator()<0, kReach + kTile, false>();
    }
  } else {
    run.template operator()<0, kWindow, true>();
  }
}

/// The tiles of a map, dealt out to warps.
template <Columns kColumns, int kTile, int kRows>
struct Tiles {
  int columns, per_image;
  int64_t count;

  __host__ __device__ explicit Tiles(const Map& map)
      : columns(kColumns == Columns::kAny ? ceil_div(map.width, kTile) : static_cast<int>(kColumns)),
        per_image(columns * ceil_div(map.height, kRows)),
        count(int64_t{map.images} * per_image) {}

  /// Call visit(image, y0, x0) with those of this warp.
  template <class Visit>
  __device__ __forceinline__ void each(Visit visit) const {
    for (int64_t i = int64_t{blockIdx.x} * kWarps + threadIdx.y; i < count; i += int64_t{gridDim.x} * kWarps) {
      const int64_t image = i / per_image;
      const int tile = static_cast<int>(i - image * per_image);
      visit(image, tile / columns * kRows, tile % columns * kTile);
    }
  }

  dim3 grid(const Map& map, int blocks = kResidentBlocks) const {
    const int groups = ceil_div(map.channels, kLanes);
    const int64_t wanted = blocks / groups < 1 ? 1 : blocks / groups, needed = (count + kWarps - 1) / kWarps;
    return {static_cast<unsigned>(needed < wanted ? needed : wanted), static_cast<unsigned>(groups)};
  }
};

static_assert(static_cast<int>(Columns::kOneTile) == 1 && static_cast<int>(Columns::kTwoTiles) == 2);

/// Allow a kernel more shared memory than 48 KiB.
template <class Kernel>
void allow_shared(Kernel* kernel, size_t bytes) {
  if (bytes <= 48 * 1024) return;
  cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                       static_cast<int>(bytes));
}

/// What a thread block may have of shared memory on the current device; 0 if there is none.
inline int64_t most_shared_bytes() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 0;
  if (cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess) return 0;
  return bytes;
}

/// Call `run` with the tile and columns for a map's width, as constants; kAnyTile where no tiles fit.
template <int kAnyTile, class Run>
void with_tile(const Map& map, Run run) {
  if (map.width == 28) return run.template operator()<14, Columns::kTwoTiles>();
  if (map.width == 14) return run.template operator()<14, Columns::kOneTile>();
  if (map.width == 7) return run.template operator()<7, Columns::kOneTile>();
  run.template operator()<kAnyTile, Columns::kAny>();
}

}  // namespace unireplk::kernels::cuda
