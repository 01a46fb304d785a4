#pragma once

#include <cuda_pipeline_primitives.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "unireplk/kernels/cuda/line_pairs.h"
#include "unireplk/kernels/cuda/mma.cuh"
#include "unireplk/kernels/cuda/pair_tiles.h"
#include "unireplk/kernels/cuda/row_pairs.h"

/// Products of rows of images with matrices, one for each pair of rows, summed up: planes of one channel become planes.
/// Two sorts of matrices: those of line_pairs.h, and those of a convolution, which depend on the distance alone.
namespace unireplk::kernels::cuda {

inline constexpr int kPairWarps = 8;  ///< of a thread block
inline constexpr int kPairThreads = kPairWarps * kLanes;
inline constexpr int kPairBlocks = 2;               ///< at once on a processor
inline constexpr int kRowsAtOnce = 2;               ///< of the result, for which a warp computes sums
inline constexpr int64_t kProductBytes = 40 << 20;  ///< of products in memory at once, in about

/// How maps of some widths are cut into products.
template <int kColumnTiles, int kDepthTiles, int kImageTiles>
struct Cut {
  using Matrix = PairMatrix<kColumnTiles, kDepthTiles>;
  static constexpr int kImages = 16 * kImageTiles;  // of a thread block
  using Rows = StagedRows<kDepthTiles, kImages>;
  static constexpr int kTilesOfColumns = kColumnTiles, kTilesOfDepth = kDepthTiles, kTilesOfImages = kImageTiles;
  static constexpr int kChunks = Matrix::kChunks * kLanes;  // of a matrix, 16 bytes each

  /// Matrices of pairs in shared memory: those of rows far from borders, which most products take; all, where they are
  /// small.
  static constexpr bool kStagesAll = kDepthTiles == 1;
  static constexpr int kStagedPairs = kStagesAll ? kKinds : kDistances;

  using Sums = float[kRowsAtOnce][kImageTiles][kColumnTiles][4];
};

/// Call `run` with the Cut of a map's width.
template <class Run>
auto with_cut(const Map& map, Run run) {
  if (map.width < 16) return run(Cut<2, 1, 4>{});
  if (map.width <= 24) return run(Cut<3, 2, 2>{});
  return run(Cut<4, 2, 2>{});
}

/// Planes [channels][images][height][Cut::Rows::kPitch], from some image on.
struct Planes {
  const uint16_t* values;
  int images;       ///< from there on
  int64_t channel;  ///< values from a channel to the next
};

template <class Of>
Planes planes_from(const void* values, const Map& map, int image) {
  const RowPlanes planes(map.images, map.height, map.width);
  return {static_cast<const uint16_t*>(values) + image * planes.image(), planes.images - image, planes.channel()};
}

/// What a kernel adds up.
struct PairTerm {
  Planes planes;
  const uint4* values;   ///< [channels][kKinds]
  const float* offsets;  ///< added to the sums, [channels][kOwnKinds, of rows][Matrix::kColumns]
  const float* scales;   ///< with which products are multiplied, [channels]
};
struct TapTerm {
  Planes planes;
  const uint4* values;  ///< [channels][kPairTaps], for distances from -kPairReach on
  const float* bias;    ///< [channels], or null: 0; only where there are no pairs
};

template <class Of>
__device__ __forceinline__ void load_matrix(const uint4* matrix, int lane, uint32_t (&words)[Of::Matrix::kWords]) {
#pragma unroll
  for (int chunk = 0; chunk < Of::Matrix::kChunks; ++chunk) {
    const uint4 loaded = matrix[chunk * kLanes + lane];
    words[4 * chunk] = loaded.x;
    words[4 * chunk + 1] = loaded.y;
    words[4 * chunk + 2] = loaded.z;
    words[4 * chunk + 3] = loaded.w;
  }
}

/// Matrices of pairs of a channel.
template <class Of>
struct PairSource {
  const uint4* all;     // [kKinds]
  const uint4* staged;  // [Of::kStagedPairs]

  static constexpr int kReach = kFarthest;

  /// The matrix in place i of the staged ones.
  __device__ __forceinline__ static int staged_kind(int i) { return Of::kStagesAll ? i : inside_kind(i - kFarthest); }

  __device__ __forceinline__ void load(int line, int other, int lines, int lane,
                                       uint32_t (&words)[Of::Matrix::kWords]) const {
    const int distance = other - line;
    if (is_inside(line, other, lines)) {
      const int place = Of::kStagesAll ? inside_kind(distance) : distance + kFarthest;
      load_matrix<Of>(staged + place * Of::kChunks, lane, words);
    } else {
      load_matrix<Of>((Of::kStagesAll ? staged : all) + kind_of(line, other, lines) * Of::kChunks, lane, words);
    }
  }
  /// Whether the matrix is that of the next two lines, too.
  __device__ __forceinline__ static bool is_shared(int line, int other, int lines) {
    return is_inside(line, other, lines);
  }
};

template <class Of>
struct TapSource {
  const uint4* staged;  // [kPairTaps]

  static constexpr int kReach = kPairReach;

  __device__ __forceinline__ void load(int line, int other, int /*lines*/, int lane,
                                       uint32_t (&words)[Of::Matrix::kWords]) const {
    load_matrix<Of>(staged + (other - line + kPairReach) * Of::kChunks, lane, words);
  }
  __device__ __forceinline__ static bool is_shared(int /*line*/, int /*other*/, int /*lines*/) { return true; }
};

/// Copy rows of a channel's planes.
/// \param n0  the block's first image.
template <class Of>
__device__ __forceinline__ void stage_rows(int rows, int n0, int c, const Planes& planes, uint16_t* staged) {
  using Rows = typename Of::Rows;
  const uint16_t* from = planes.values + c * planes.channel + int64_t{n0} * rows * Rows::kPitch;
  for (int i = threadIdx.x; i < rows * Of::kImages * Rows::kChunks; i += kPairThreads) {
    const int chunk = i % Rows::kChunks, image = i / Rows::kChunks % Of::kImages, row = i / Rows::kChunks / Of::kImages;
    if (n0 + image >= planes.images) continue;  // sums of other images are not written
    __pipeline_memcpy_async(staged + row * Rows::kRow + Rows::place(image, chunk),
                            from + (int64_t{image} * rows + row) * Rows::kPitch + chunk * 8, sizeof(uint4));
  }
}

/// Copy matrices: staged[i] = values[matrix_of(i)].
template <class Of, class MatrixOf>
__device__ __forceinline__ void stage_matrices(int count, const uint4* values, uint4* staged, MatrixOf matrix_of) {
  for (int i = threadIdx.x; i < count * Of::kChunks; i += kPairThreads) {
    __pipeline_memcpy_async(staged + i, values + matrix_of(i / Of::kChunks) * Of::kChunks + i % Of::kChunks,
                            sizeof(uint4));
  }
}

__device__ __forceinline__ void wait_for_staged() {
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
}

/// Products of one row of all images with the matrix of an output row.
template <class T, class Of>
__device__ __forceinline__ void multiply(const uint32_t (&x)[Of::kTilesOfImages][Of::kTilesOfDepth][4],
                                         const uint32_t (&matrix)[Of::Matrix::kWords],
                                         float (&sums)[Of::kTilesOfImages][Of::kTilesOfColumns][4]) {
#pragma unroll
  for (int depth = 0; depth < Of::kTilesOfDepth; ++depth) {
#pragma unroll
    for (int tile = 0; tile < Of::kTilesOfColumns; ++tile) {
      const int word = Of::Matrix::word_of(tile, depth);
#pragma unroll
      for (int m = 0; m < Of::kTilesOfImages; ++m) {
        const auto& a = x[m][depth];
        add_product<T>(sums[m][tile], a[0], a[1], a[2], a[3], matrix[word], matrix[word + 1]);
      }
    }
  }
}

/// Sums over all rows that rows q and q + 1 meet. The matrix that q took may serve q + 1 next.
template <class T, class Of, class Source>
__device__ __forceinline__ void multiply_rows(int q, int rows, const Source& source, const uint16_t* staged,
                                              typename Of::Sums& sums) {
  using Rows = typename Of::Rows;
  const int lane = threadIdx.x % kLanes;
  const int last = min(rows - 1, q + 1 + Source::kReach);
  int other = max(0, q - Source::kReach);
  int places[Of::kTilesOfDepth];
#pragma unroll
  for (int depth = 0; depth < Of::kTilesOfDepth; ++depth) {
    places[depth] = other * Rows::kRow + Rows::place(Rows::fetched_image(lane), 2 * depth + Rows::fetched_chunk(lane));
  }
  uint32_t matrix[Of::Matrix::kWords];
  bool serves_second = false;  // what is in `matrix`
#pragma unroll 1
  for (; other <= last; ++other) {
    uint32_t x[Of::kTilesOfImages][Of::kTilesOfDepth][4];
#pragma unroll
    for (int depth = 0; depth < Of::kTilesOfDepth; ++depth) {
#pragma unroll
      for (int m = 0; m < Of::kTilesOfImages; ++m) {
        fetch_matrices(x[m][depth], staged + places[depth] + m * 16 * Rows::kPitch);
      }
      places[depth] += Rows::kRow;
    }
    if (q + 1 < rows && other - q - 1 >= -Source::kReach) {
      if (!serves_second || !Source::is_shared(q + 1, other, rows)) source.load(q + 1, other, rows, lane, matrix);
      multiply<T, Of>(x, matrix, sums[1]);
    }
    if (other - q > Source::kReach) break;
    source.load(q, other, rows, lane, matrix);
    serves_second = Source::is_shared(q, other, rows);
    multiply<T, Of>(x, matrix, sums[0]);
  }
}

/// The part of a row of an image's products that a lane holds: 4 kWords bytes, at a multiple of as many if that is a
/// power of two.
template <int kWords>
__device__ __forceinline__ void store_words(const uint32_t (&words)[kWords], uint16_t* out) {
  if constexpr (kWords == 4) {
    *reinterpret_cast<uint4*>(out) = {words[0], words[1], words[2], words[3]};
  } else if constexpr (kWords == 2) {
    *reinterpret_cast<uint2*>(out) = {words[0], words[1]};
  } else {
#pragma unroll
    for (int i = 0; i < kWords; ++i) reinterpret_cast<uint32_t*>(out)[i] = words[i];
  }
}

/// Write (or add) sums times scale plus an offset to a row of products.
/// \param offset_at  of the column that a float2 of the lane's columns begins with.
/// \param out        the row of the block's first image.
template <class T, class Of, bool kAdds, class OffsetAt>
__device__ __forceinline__ void store_row(const Map& map, int images, float scale, OffsetAt offset_at,
                                          const float (&sums)[Of::kTilesOfImages][Of::kTilesOfColumns][4],
                                          uint16_t* out) {
  const int lane = threadIdx.x % kLanes, first = Of::Matrix::first_column(lane % 4);
  float2 offset[Of::kTilesOfColumns];
#pragma unroll
  for (int tile = 0; tile < Of::kTilesOfColumns; ++tile) offset[tile] = offset_at(first + 2 * tile);
#pragma unroll
  for (int m = 0; m < Of::kTilesOfImages; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int image = 16 * m + 8 * half + lane / 4;
      if (image >= images) continue;
      uint16_t* row = out + int64_t{image} * map.height * Of::Matrix::kColumns + first;
      uint32_t words[Of::kTilesOfColumns];
#pragma unroll
      for (int tile = 0; tile < Of::kTilesOfColumns; ++tile) {
        const auto& sum = sums[m][tile];
        float low = fmaf(sum[2 * half], scale, offset[tile].x), high = fmaf(sum[2 * half + 1], scale, offset[tile].y);
        if constexpr (kAdds) {
          T before[2];
          memcpy(before, row + 2 * tile, sizeof before);
          low += to_float(before[0]);
          high += to_float(before[1]);
        }
        words[tile] = pack_pair<T>(low, high);
      }
      store_words(words, row);
    }
  }
}

/// A warp's pairs of rows, one after the other: add(q, sums), then store(row, sums of the row).
template <class Of, class Add, class Store>
__device__ __forceinline__ void each_pair(int rows, Add add, Store store) {
  const int warp = threadIdx.x / kLanes, pairs = (rows + 1) / kRowsAtOnce;
#pragma unroll 1
  for (int round = 0; round * kPairWarps < pairs; ++round) {
    const int rank = rank_of(warp, round, kPairWarps);
    if (rank >= pairs) continue;
    const int q = rows_in_order(rank, pairs) * kRowsAtOnce;
    __syncwarp();  // lanes store rows of different images
    typename Of::Sums sums = {};
    add(q, sums);
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      if (q + r >= rows) break;
      store(q + r, sums[r]);
    }
  }
}

/// products[channel][image][row][Matrix::kColumns] = the sum of a convolution and, where there are some, of pairs, each
/// rounded. A thread block: a channel of Of::kImages images.
template <class T, class Of, bool kHasPairs>
__global__ void __launch_bounds__(kPairThreads, kPairBlocks)
    pair_products_kernel(Map map, PairTerm pairs, TapTerm taps, uint16_t* products) {
  using Matrix = typename Of::Matrix;
  extern __shared__ __align__(16) uint16_t memory[];
  constexpr int kStaged = kHasPairs ? Of::kStagedPairs : kPairTaps;
  static_assert(kStaged >= kPairTaps);
  const int n0 = blockIdx.x * Of::kImages, c = blockIdx.y;
  uint4* matrices = reinterpret_cast<uint4*>(memory);
  uint16_t* staged = memory + kStaged * Matrix::kValues;
  const auto row_of = [&](int row) {
    return products + ((int64_t{c} * map.images + n0) * map.height + row) * Matrix::kColumns;
  };
  if constexpr (kHasPairs) {
    const uint4* all = pairs.values + int64_t{c} * kKinds * Of::kChunks;
    stage_matrices<Of>(kStaged, all, matrices, PairSource<Of>::staged_kind);
    stage_rows<Of>(map.height, n0, c, pairs.planes, staged);
    wait_for_staged();
    const PairSource<Of> source{all, matrices};
    each_pair<Of>(
        map.height, [&](int q, typename Of::Sums& sums) { multiply_rows<T, Of>(q, map.height, source, staged, sums); },
        [&](int row, const auto& sums) {
          const float* offsets =
              pairs.offsets + (int64_t{c} * kOwnKinds + own_kind(row, map.height)) * Matrix::kColumns;
          const auto offset_at = [&](int column) { return *reinterpret_cast<const float2*>(offsets + column); };
          store_row<T, Of, false>(map, map.images - n0, pairs.scales[c], offset_at, sums, row_of(row));
        });
  }
  if constexpr (kHasPairs) __syncthreads();
  stage_matrices<Of>(kPairTaps, taps.values + int64_t{c} * kPairTaps * Of::kChunks, matrices, [](int i) { return i; });
  stage_rows<Of>(map.height, n0, c, taps.planes, staged);
  wait_for_staged();
  const TapSource<Of> source{matrices};
  each_pair<Of>(
      map.height, [&](int q, typename Of::Sums& sums) { multiply_rows<T, Of>(q, map.height, source, staged, sums); },
      [&](int row, const auto& sums) {
        const float bias = !kHasPairs && taps.bias ? taps.bias[c] : 0.F;
        const auto offset_at = [&](int /*column*/) { return float2{bias, bias}; };
        store_row<T, Of, kHasPairs>(map, map.images - n0, 1.F, offset_at, sums, row_of(row));
      });
}

template <class Of>
int64_t shared_bytes_of_products(const Map& map, bool has_pairs) {
  const int64_t matrices = int64_t{has_pairs ? Of::kStagedPairs : kPairTaps} * Of::Matrix::kValues;
  return (matrices + int64_t{map.height} * Of::Rows::kRow) * static_cast<int64_t>(sizeof(uint16_t));
}

template <class T, class Of, bool kHasPairs>
void multiply_pairs(const Map& map, const PairTerm& pairs, const TapTerm& taps, uint16_t* products, Stream stream) {
  auto* kernel = pair_products_kernel<T, Of, kHasPairs>;
  const int64_t bytes = shared_bytes_of_products<Of>(map, kHasPairs);
  allow_shared(kernel, bytes);
  kernel<<<dim3(ceil_div(map.images, Of::kImages), map.channels), kPairThreads, bytes, stream>>>(map, pairs, taps,
                                                                                                 products);
}

/// Values of products of a map.
template <class Of>
int64_t product_values(const Map& map) {
  return int64_t{map.channels} * map.images * map.height * Of::Matrix::kColumns;
}

/// Images whose products are in memory at once, all or a multiple of what thread blocks take.
template <class Of>
int product_images(const Map& map) {
  const int64_t bytes = std::max<int64_t>(product_values<Of>(map) * 2 / map.images, 1);
  const int64_t most = std::max<int64_t>(kProductBytes / bytes, Of::kImages);
  const int together = ceil_div(map.images, ceil_div(map.images, most));
  return std::min(ceil_div(together, Of::kImages) * Of::kImages, map.images);
}

/// Call run(map of some images, the first of them) for all.
template <class Of, class Run>
void each_batch_of_images(const Map& map, Run run) {
  const int at_once = product_images<Of>(map);
  for (int first = 0; first < map.images; first += at_once) {
    Map some = map;
    some.images = std::min(at_once, map.images - first);
    run(some, first);
  }
}

}  // namespace unireplk::kernels::cuda
