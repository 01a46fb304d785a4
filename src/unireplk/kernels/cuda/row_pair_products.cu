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
  const int stride = StagedPlanes<kTiles, 1>::stride(planes);
  const T* const channel[] = {from + c * planes.channel()};
  float sums[kTiles][2 * kTiles][4] = {};
  each_images<T, kTiles, 1>(planes, channel, first, min(first + images_of_part, planes.images), shared,
                            [&](const uint16_t* images) {
                              if (distance >= kRowDistances) return;
                              for (int r = 0; r + distance < planes.height; ++r) {
                                if (is_edge_pair(r, r + distance, planes.height)) continue;
                                const RowOfImages<kTiles> a(images, stride, r * planes.pitch),
                                    b(images, stride, (r + distance) * planes.pitch);
                                add_row_product<T, kTiles>(a, b, sums);
                              }
                            });
  if (distance >= kRowDistances) return;
  write_column_sums<kTiles>(sums, planes.width, reinterpret_cast<float*>(shared),
                            column_sums_of_block(planes, partial) + distance * kColumnSums);
}

/// A pair of rows that has a matrix of its own: those of both edges, or all of a map of few lines.
struct OwnPair {
  int row, other, matrix;

  __device__ __forceinline__ OwnPair(const RowPlanes& planes, int pair) {
    const bool is_few = has_few(planes.height);
    const int lines = is_few ? planes.height : kEdgeRows, in_edge = pair % ordered_pairs(lines);
    const int start = !is_few && pair >= kEdgePairs ? planes.height - kEdgeRows : 0;
    const OrderedPair of_edge(in_edge, lines);
    row = start + of_edge.r;
    other = start + of_edge.s;
    matrix = (is_few ? 0 : kRowDistances) + pair;
  }
};

__host__ __device__ constexpr int own_pairs(int height) {
  return has_few(height) ? ordered_pairs(height) : 2 * kEdgePairs;
}

/// Own pairs: some for each warp.
template <class T, int kTiles, int kPairsOfWarp>
__global__ void __launch_bounds__(kProductThreads)
    own_pairs_kernel(RowPlanes planes, int images_of_part, const T* from, float* partial) {
  extern __shared__ __align__(16) uint16_t shared[];
  const int c = blockIdx.x, first = blockIdx.y * images_of_part;
  const int warp = blockIdx.z * kProductWarps + threadIdx.x / kLanes;
  const int first_pair = warp * kPairsOfWarp, last_pair = own_pairs(planes.height) - 1;
  int rows[kPairsOfWarp], others[kPairsOfWarp];
#pragma unroll
  for (int i = 0; i < kPairsOfWarp; ++i) {
    const OwnPair pair(planes, min(first_pair + i, last_pair));
    rows[i] = pair.row * planes.pitch;
    others[i] = pair.other * planes.pitch;
  }
  const int stride = StagedPlanes<kTiles, 1>::stride(planes);
  const T* const channel[] = {from + c * planes.channel()};
  float sums[kPairsOfWarp][kTiles][2 * kTiles][4] = {};
  each_images<T, kTiles, 1>(planes, channel, first, min(first + images_of_part, planes.images), shared,
                            [&](const uint16_t* images) {
                              if (first_pair > last_pair) return;
#pragma unroll
                              for (int i = 0; i < kPairsOfWarp; ++i) {
                                const RowOfImages<kTiles> a(images, stride, rows[i]), b(images, stride, others[i]);
                                add_row_product<T, kTiles>(a, b, sums[i]);
                              }
                            });
  float* to = column_sums_of_block(planes, partial);
#pragma unroll
  for (int i = 0; i < kPairsOfWarp; ++i) {
    if (first_pair + i > last_pair) break;
    const OwnPair pair(planes, first_pair + i);
    write_column_sums<kTiles>(sums[i], planes.width, reinterpret_cast<float*>(shared), to + pair.matrix * kColumnSums);
  }
}

template <class T>
void launch_pairs(const Map& map, const T* planes, const ImageParts& parts, float* partial, Stream stream) {
  const auto of = planes_of(map);
  with_tiles(of, [&]<int kTiles>() {
    const size_t bytes = std::max(StagedPlanes<kTiles, 1>::bytes(of), sizeof(float) * kProductWarps * of.matrix());
    const auto run = [&](auto* kernel, int blocks) {
      allow_shared(kernel, bytes);
      const dim3 grid(map.channels, parts.count, blocks);
      kernel<<<grid, kProductThreads, bytes, stream>>>(of, parts.images, planes, partial);
    };
    constexpr int kPairsOfWarp = kTiles == 1 ? 3 : 2;  // whose sums registers hold
    if (!has_few(of.height)) run(distances_kernel<T, kTiles>, 1);
    run(own_pairs_kernel<T, kTiles, kPairsOfWarp>, ceil_div(own_pairs(of.height), kPairsOfWarp * kProductWarps));
  });
}

}  // namespace

int row_pair_parts(const Map& map) { return ImageParts(map).count; }

void multiply_row_pairs(Element element, const Map& map, const void* planes, float* partial, Stream stream) {
  with_narrow_type(
      element, [&]<class T>(T) { launch_pairs(map, static_cast<const T*>(planes), ImageParts(map), partial, stream); });
}

}  // namespace unireplk::kernels::cuda
