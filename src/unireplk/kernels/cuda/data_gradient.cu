#include "unireplk/kernels/cuda/data_gradient.h"

#include <cuda_pipeline_primitives.h>

#include <algorithm>
#include <cstddef>

#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/pair_matrices.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kPairWarps = 8;  // of a thread block
constexpr int kPairThreads = kPairWarps * kLanes;
constexpr int kBlocksAtOnce = 2;  // on a processor
constexpr int kRowsAtOnce = 2;    // of the result, for which a warp computes sums
constexpr int64_t kAlignment = 256;
constexpr int64_t kProductBytes = 40 << 20;  // of products in memory at once

/// How maps of some widths are cut into products.
template <int kColumnTiles, int kDepthTiles, int kImageTiles>
struct Cut {
  using Matrix = PairMatrix<kColumnTiles, kDepthTiles>;
  static constexpr int kImages = 16 * kImageTiles;  // of a thread block
  using Rows = StagedRows<kDepthTiles, kImages>;
  static constexpr int kTilesOfColumns = kColumnTiles, kTilesOfDepth = kDepthTiles, kTilesOfImages = kImageTiles;

  /// Matrices in shared memory: those of rows far from borders, and after them all, where they are small.
  static constexpr bool kStagesAll = kDepthTiles == 1;
  static constexpr int kStaged = kDistances + (kStagesAll ? kKinds : 0);

  static int64_t shared_bytes(int rows) { return sizeof(uint16_t) * (kStaged * Matrix::kValues + rows * Rows::kRow); }
};

/// Call `run` with the Cut of a map's width.
template <class Run>
auto with_cut(const Map& map, Run run) {
  if (map.width < 16) return run(Cut<2, 1, 4>{});
  if (map.width <= 24) return run(Cut<3, 2, 2>{});
  return run(Cut<4, 2, 2>{});
}

/// Images of which each channel has planes.
int padded_images(const Map& map) { return ceil_div(map.images, 16) * 16; }

/// Images whose products are in memory at once, all or a multiple of what thread blocks take.
template <class Of>
int images_at_once(const Map& map) {
  const int64_t bytes =
      int64_t{map.channels} * map.height * Of::Matrix::kColumns * static_cast<int64_t>(sizeof(uint16_t));
  const int64_t most = std::max<int64_t>(kProductBytes / bytes, Of::kImages);
  return ceil_div(ceil_div(map.images, ceil_div(map.images, most)), Of::kImages) * Of::kImages;
}

template <class Of>
struct Workspace {
  PairMatrices matrices{};
  void* products;  // [channels][images at once][height][Matrix::kColumns], in the map's element type
  int64_t bytes = 0;

  Workspace(const Map& map, void* memory) {
    const auto cut = [&](int64_t count) -> void* {
      void* const here = memory ? static_cast<std::byte*>(memory) + bytes : nullptr;
      bytes += (count + kAlignment - 1) / kAlignment * kAlignment;
      return here;
    };
    const int64_t channels = map.channels;
    matrices.flipped = static_cast<float*>(cut(channels * kLargeTaps * sizeof(float)));
    matrices.offsets = static_cast<float*>(cut(channels * kOwnKinds * Of::Matrix::kColumns * sizeof(float)));
    matrices.scales = static_cast<float*>(cut(channels * sizeof(float)));
    matrices.values = static_cast<uint4*>(cut(channels * kKinds * Of::Matrix::kValues * sizeof(uint16_t)));
    const int64_t images = std::min(images_at_once<Of>(map), map.images);
    products = cut(channels * images * map.height * Of::Matrix::kColumns * sizeof(uint16_t));
  }
};

template <class Matrix>
__device__ __forceinline__ void load_matrix(const uint4* matrix, int lane, uint32_t (&words)[Matrix::kWords]) {
#pragma unroll
  for (int chunk = 0; chunk < Matrix::kChunks; ++chunk) {
    const uint4 loaded = matrix[chunk * kLanes + lane];
    words[4 * chunk] = loaded.x;
    words[4 * chunk + 1] = loaded.y;
    words[4 * chunk + 2] = loaded.z;
    words[4 * chunk + 3] = loaded.w;
  }
}

/// Matrices of a channel: those of rows far from borders, which most products take, in shared memory.
template <class Matrix>
struct MatrixSource {
  const uint4* all;     // [kKinds]
  const uint4* inside;  // [kDistances]

  static constexpr int kChunks = Matrix::kChunks * kLanes;

  __device__ __forceinline__ void load(int line, int other, int lines, int lane,
                                       uint32_t (&words)[Matrix::kWords]) const {
    if (is_inside(line, other, lines)) {
      load_matrix<Matrix>(inside + (other - line + kFarthest) * kChunks, lane, words);
    } else {
      load_matrix<Matrix>(all + kind_of(line, other, lines) * kChunks, lane, words);
    }
  }
};

/// Copy what a thread block's warps share, and wait for it.
/// \param planes  of the block's first image.
template <class Of>
__device__ __forceinline__ void stage(int rows, int images, const uint16_t* planes, const uint4* matrices,
                                      uint4* inside, uint16_t* staged) {
  using Rows = typename Of::Rows;
  for (int i = threadIdx.x; i < rows * Of::kImages * Rows::kChunks; i += kPairThreads) {
    const int chunk = i % Rows::kChunks, image = i / Rows::kChunks % Of::kImages, row = i / Rows::kChunks / Of::kImages;
    if (image >= images) continue;  // sums of other images are not written
    __pipeline_memcpy_async(staged + row * Rows::kRow + Rows::place(image, chunk),
                            planes + (int64_t{image} * rows + row) * Rows::kPitch + chunk * 8, sizeof(uint4));
  }
  constexpr int kChunks = MatrixSource<typename Of::Matrix>::kChunks;
  for (int i = threadIdx.x; i < Of::kStaged * kChunks; i += kPairThreads) {
    const int matrix = i / kChunks;
    const int kind = matrix < kDistances ? inside_kind(matrix - kFarthest) : matrix - kDistances;
    __pipeline_memcpy_async(inside + i, matrices + kind * kChunks + i % kChunks, sizeof(uint4));
  }
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

/// Sums over all rows that rows q and q + 1 meet. Where no border is near, the matrix that q took serves q + 1 next.
template <class T, class Of>
__device__ __forceinline__ void add_rows_of_pair(
    int q, int rows, int lane, const MatrixSource<typename Of::Matrix>& source, const uint16_t* staged,
    float (&sums)[kRowsAtOnce][Of::kTilesOfImages][Of::kTilesOfColumns][4]) {
  using Rows = typename Of::Rows;
  const int last = min(rows - 1, q + 1 + kFarthest);
  int other = max(0, q - kFarthest);
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
    if (q + 1 < rows && other - q - 1 >= -kFarthest) {
      if (!serves_second || !is_inside(q + 1, other, rows)) source.load(q + 1, other, rows, lane, matrix);
      multiply<T, Of>(x, matrix, sums[1]);
    }
    if (other - q > kFarthest) break;
    source.load(q, other, rows, lane, matrix);
    serves_second = is_inside(q, other, rows);
    multiply<T, Of>(x, matrix, sums[0]);
  }
}

/// The part of a row of an image's products that a lane holds.
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

/// \param offsets  of the row, [kColumns].
/// \param out      of the row of the block's first image.
template <class T, class Of>
__device__ __forceinline__ void store_row(const Map& map, int images, int lane, const float* offsets, float scale,
                                          const float (&sums)[Of::kTilesOfImages][Of::kTilesOfColumns][4],
                                          uint16_t* out) {
  using Matrix = typename Of::Matrix;
  const int first = Matrix::first_column(lane % 4);
  float2 offset[Of::kTilesOfColumns];
#pragma unroll
  for (int tile = 0; tile < Of::kTilesOfColumns; ++tile) {
    offset[tile] = *reinterpret_cast<const float2*>(offsets + first + 2 * tile);
  }
#pragma unroll
  for (int m = 0; m < Of::kTilesOfImages; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int image = 16 * m + 8 * half + lane / 4;
      if (image >= images) continue;
      uint32_t words[Of::kTilesOfColumns];
#pragma unroll
      for (int tile = 0; tile < Of::kTilesOfColumns; ++tile) {
        const auto& sum = sums[m][tile];
        words[tile] =
            pack_pair<T>(fmaf(sum[2 * half], scale, offset[tile].x), fmaf(sum[2 * half + 1], scale, offset[tile].y));
      }
      store_words(words, out + int64_t{image} * map.height * Matrix::kColumns + first);
    }
  }
}

/// products[channel][image][row][Matrix::kColumns]: all of dx but the first term. A thread block: a channel of
/// Of::kImages images.
/// \param planes          of the map's first image.
/// \param padded          images that have planes, from there on.
/// \param channel_values  from one channel's planes to the next.
template <class T, class Of>
__global__ void __launch_bounds__(kPairThreads, kBlocksAtOnce)
    pair_products_kernel(Map map, const uint16_t* planes, int padded, int64_t channel_values, PairMatrices matrices,
                         uint16_t* products) {
  using Matrix = typename Of::Matrix;
  extern __shared__ __align__(16) uint16_t memory[];
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  const int n0 = blockIdx.x * Of::kImages, c = blockIdx.y;
  const uint4* all = matrices.values + int64_t{c} * kKinds * MatrixSource<Matrix>::kChunks;
  uint4* inside = reinterpret_cast<uint4*>(memory);
  uint16_t* staged = memory + Of::kStaged * Matrix::kValues;
  const int64_t image_values = int64_t{map.height} * Of::Rows::kPitch;
  stage<Of>(map.height, padded - n0, planes + c * channel_values + n0 * image_values, all, inside, staged);
  const MatrixSource<Matrix> source{Of::kStagesAll ? inside + kDistances * MatrixSource<Matrix>::kChunks : all, inside};
  const int pairs = (map.height + 1) / kRowsAtOnce;
#pragma unroll 1
  for (int round = 0; round * kPairWarps < pairs; ++round) {
    const int rank = rank_of(warp, round, kPairWarps);
    if (rank >= pairs) continue;
    const int q = rows_in_order(rank, pairs) * kRowsAtOnce;
    float sums[kRowsAtOnce][Of::kTilesOfImages][Of::kTilesOfColumns][4] = {};
    add_rows_of_pair<T, Of>(q, map.height, lane, source, staged, sums);
    const float* offsets = matrices.offsets + int64_t{c} * kOwnKinds * Matrix::kColumns;
    const float scale = matrices.scales[c];
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      const int row = q + r;
      if (row >= map.height) break;
      uint16_t* out = products + ((int64_t{c} * map.images + n0) * map.height + row) * Matrix::kColumns;
      store_row<T, Of>(map, map.images - n0, lane, offsets + own_kind(row, map.height) * Matrix::kColumns, scale,
                       sums[r], out);
    }
  }
}

template <class T, class Of>
void launch(Element element, const Map& map, const uint16_t* planes, const T* dy, const float* packed,
            const float* coefficients, T* dx, void* memory, Stream stream) {
  const Workspace<Of> workspace(map, memory);
  make_pair_matrices<T, typename Of::Matrix>(map.width, map.channels, packed, coefficients, workspace.matrices, stream);
  auto* kernel = pair_products_kernel<T, Of>;
  const int64_t bytes = Of::shared_bytes(map.height);
  allow_shared(kernel, bytes);
  const int padded = padded_images(map), at_once = images_at_once<Of>(map);
  const int64_t image_values = int64_t{map.height} * Of::Rows::kPitch;
  auto* products = static_cast<uint16_t*>(workspace.products);
  for (int first = 0; first < map.images; first += at_once) {
    Map some = map;
    some.images = std::min(at_once, map.images - first);
    kernel<<<dim3(ceil_div(some.images, Of::kImages), map.channels), kPairThreads, bytes, stream>>>(
        some, planes + first * image_values, padded - first, padded * image_values, workspace.matrices, products);
    const int64_t offset = first * map.plane();
    convolve_bands_onto(element, some, dy + offset, workspace.matrices.flipped, products, Of::Matrix::kColumns,
                        dx + offset, stream);
  }
}

}  // namespace

bool has_data_gradient(Element element, const Map& map) {
  const auto fits = [](int lines) { return lines >= kFewestLines && lines < 32; };
  if (!fits(map.height) || !fits(map.width)) return false;
  if (!can_convolve_bands(element, map, {.size = kTunedSize, .dilation = 1})) return false;
  return with_cut(map, [&]<class Of>(Of) { return Of::shared_bytes(map.height); }) <= most_shared_bytes();
}

int64_t data_gradient_workspace(const Map& map) {
  return with_cut(map, [&]<class Of>(Of) { return Workspace<Of>(map, nullptr).bytes; });
}

void block_data_gradient(Element element, const Map& map, const void* planes, const void* dy, const float* packed,
                         const float* coefficients, void* dx, void* workspace, Stream stream) {
  with_cut(map, [&]<class Of>(Of) {
    const auto run = [&]<class T>(T) {
      launch<T, Of>(element, map, static_cast<const uint16_t*>(planes), static_cast<const T*>(dy), packed, coefficients,
                    static_cast<T*>(dx), workspace, stream);
    };
    element == Element::kBFloat16 ? run(BFloat16{}) : run(Half{});
  });
}

}  // namespace unireplk::kernels::cuda
