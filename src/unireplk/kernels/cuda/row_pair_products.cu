#include "unireplk/kernels/cuda/row_pair_products.h"

#include "unireplk/kernels/cuda/row_products.cuh"

namespace unireplk::kernels::cuda {
namespace {

static_assert(kProductWarps >= kRowDistances);
static_assert(kMatrixLines <= kLanes);

/// Where a thread block writes: partial[part][channel].
__device__ __forceinline__ float* column_sums_of_block(const RowPlanes& planes, float* partial) {
  return partial + (int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * row_pairs(planes.height) * kColumnSums;
}

/// What columns come to of a warp's matrix, by way of its part of shared memory: a lane for each line of entries.
template <int kTiles>
__device__ __forceinline__ void write_column_sums(const float (&sums)[kTiles][2 * kTiles][4], int width, float* shared,
                                                  float* to) {
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  float* matrix = shared + warp * width * (width + 1);
  __syncwarp();  // the matrix before has been read
  write_matrix<kTiles>(sums, width, matrix);
  __syncwarp();
  if (lane >= kMatrixLines) return;
  const MatrixLine line(lane, width);
  add_up_kinds<float>(
      line.distance, line.entries, [&](int i) { return matrix[line.start + i * line.step]; },
      [&](int kind, float sum) { to[line.first_sum + kind] = sum; });
}

/// Pairs of a distance that are in no edge, added up: a warp for each distance.
template <class T, int kTiles>
__global__ void __launch_bounds__(kProductThreads)
    distances_kernel(RowPlanes planes, int images_of_part, const T* from, float* partial) {
  extern __shared__ __align__(16) uint16_t shared[];
  const int c = blockIdx.x, first = blockIdx.y * images_of_part, distance = threadIdx.x / kLanes;
  const StagedRowsOfPlanes<kTiles, 1> staged(planes.height);
  const T* const rows[] = {from + c * planes.channel()};
  float sums[kTiles][2 * kTiles][4] = {};
  each_images<T, kProductWarps>(planes, staged, rows, first, min(first + images_of_part, planes.images), shared,
                                [&](const uint16_t* images) {
                                  if (distance >= kRowDistances) return;
                                  for (int r = 0; r + distance < planes.height; ++r) {
                                    if (is_edge_pair(r, r + distance, planes.height)) continue;
                                    const RowOfImages<kTiles> a(images, staged.stride, r * planes.pitch),
                                        b(images, staged.stride, (r + distance) * planes.pitch);
                                    add_row_product<T, kTiles>(a, b, sums);
                                  }
                                });
  if (distance >= kRowDistances) return;
  write_column_sums<kTiles>(sums, planes.width, reinterpret_cast<float*>(shared),
                            column_sums_of_block(planes, partial) + distance * kColumnSums);
}

template <int kTiles>
constexpr int kPairsOfWarp = kTiles == 1 ? 3 : 2;  // whose sums registers hold

/// Rows whose pairs have a matrix each: those of an edge, a thread block for each, or all of a map of few lines.
template <int kTiles, bool kIsFew>
struct OwnRows {
  static constexpr int kPairs = kPairsOfWarp<kTiles>;
  static constexpr int kWarps = kIsFew ? kProductWarps : ceil_div(kEdgePairs, kPairs);
  static constexpr int kThreads = kWarps * kLanes;
  static constexpr int kBlocks = !kIsFew && kTiles == 1 ? 2 : 1;  // at once on a processor, at least

  int first, count;
  int first_matrix;

  __device__ __forceinline__ OwnRows(const RowPlanes& planes, bool is_bottom)
      : first(is_bottom ? planes.height - kEdgeRows : 0),
        count(rows_of(planes)),
        first_matrix(kIsFew ? 0 : first_of_edge(is_bottom)) {}

  static constexpr __host__ __device__ int rows_of(const RowPlanes& planes) {
    return kIsFew ? planes.height : kEdgeRows;
  }
  static constexpr __host__ __device__ int blocks(const RowPlanes& planes) {
    return kIsFew ? ceil_div(ordered_pairs(planes.height), kWarps * kPairs) : 2;
  }
};

/// Each of some pairs of rows: a few for each warp.
template <class T, int kTiles, bool kIsFew>
__global__ void __launch_bounds__(OwnRows<kTiles, kIsFew>::kThreads, OwnRows<kTiles, kIsFew>::kBlocks)
    own_pairs_kernel(RowPlanes planes, int images_of_part, const T* from, float* partial) {
  extern __shared__ __align__(16) uint16_t shared[];
  using Own = OwnRows<kTiles, kIsFew>;
  const Own own(planes, !kIsFew && blockIdx.z > 0);
  const int c = blockIdx.x, first = blockIdx.y * images_of_part, warp = threadIdx.x / kLanes;
  const int first_pair = ((kIsFew ? blockIdx.z * Own::kWarps : 0) + warp) * Own::kPairs;
  const int last_pair = ordered_pairs(own.count) - 1;
  const StagedRowsOfPlanes<kTiles, 1> staged(own.count);
  int left[Own::kPairs], right[Own::kPairs];  // of each pair, in values from the first row on
#pragma unroll
  for (int i = 0; i < Own::kPairs; ++i) {
    const OrderedPair pair(min(first_pair + i, last_pair), own.count);
    left[i] = pair.r * staged.kPitch;
    right[i] = pair.s * staged.kPitch;
  }
  const T* const rows[] = {from + c * planes.channel() + own.first * staged.kPitch};
  float sums[Own::kPairs][kTiles][2 * kTiles][4] = {};
  each_images<T, Own::kWarps>(
      planes, staged, rows, first, min(first + images_of_part, planes.images), shared, [&](const uint16_t* images) {
        if (first_pair > last_pair) return;
#pragma unroll
        for (int i = 0; i < Own::kPairs; ++i) {
          const RowOfImages<kTiles> b(images, staged.stride, right[i]), a(images, staged.stride, left[i]);
          add_row_product<T, kTiles>(a, b, sums[i]);
        }
      });
  float* to = column_sums_of_block(planes, partial) + own.first_matrix * kColumnSums;
#pragma unroll
  for (int i = 0; i < Own::kPairs; ++i) {
    if (first_pair + i > last_pair) break;
    write_column_sums<kTiles>(sums[i], planes.width, reinterpret_cast<float*>(shared),
                              to + (first_pair + i) * kColumnSums);
  }
}

/// Bytes of shared memory: some rows of planes, and when these are done a matrix for each warp.
template <int kTiles>
size_t shared_bytes(const RowPlanes& planes, int rows, int warps) {
  return std::max(StagedRowsOfPlanes<kTiles, 1>(rows).bytes(), sizeof(float) * warps * planes.matrix());
}

template <class T, int kTiles>
void launch_distances(const Map& map, const T* planes, float* partial, Stream stream) {
  const auto of = planes_of(map);
  const ImageParts parts(map);
  auto* kernel = distances_kernel<T, kTiles>;
  const size_t bytes = shared_bytes<kTiles>(of, of.height, kProductWarps);
  allow_shared(kernel, bytes);
  kernel<<<dim3(map.channels, parts.count), kProductThreads, bytes, stream>>>(of, parts.images, planes, partial);
}

template <class T, int kTiles, bool kIsFew>
void launch_own_pairs(const Map& map, const T* planes, float* partial, Stream stream) {
  using Own = OwnRows<kTiles, kIsFew>;
  const auto of = planes_of(map);
  const ImageParts parts(map);
  auto* kernel = own_pairs_kernel<T, kTiles, kIsFew>;
  const size_t bytes = shared_bytes<kTiles>(of, Own::rows_of(of), Own::kWarps);
  allow_shared(kernel, bytes);
  const dim3 grid(map.channels, parts.count, Own::blocks(of));
  kernel<<<grid, Own::kThreads, bytes, stream>>>(of, parts.images, planes, partial);
}

}  // namespace

int row_pair_parts(const Map& map) { return ImageParts(map).count; }

void multiply_row_pairs(Element element, const Map& map, const void* planes, float* partial, Stream stream) {
  with_narrow_type(element, [&]<class T>(T) {
    const auto* of = static_cast<const T*>(planes);
    if (has_few(map.height)) return launch_own_pairs<T, 1, true>(map, of, partial, stream);
    with_tiles(planes_of(map), [&]<int kTiles>() {
      launch_distances<T, kTiles>(map, of, partial, stream);
      launch_own_pairs<T, kTiles, false>(map, of, partial, stream);
    });
  });
}

}  // namespace unireplk::kernels::cuda
