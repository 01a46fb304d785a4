#include "unireplk/kernels/cuda/second_moments.h"

#include "unireplk/kernels/cuda/block_coefficients.h"
#include "unireplk/kernels/cuda/branches.cuh"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/data_gradient.h"
#include "unireplk/kernels/cuda/row_products.cuh"
#include "unireplk/kernels/cuda/weight_gradients.h"

namespace unireplk::kernels::cuda {
namespace {

static_assert(kPairReach == kLargeReach);

constexpr int kRowsOfProducts = kBranches + 1;  // each of kLargeTaps
constexpr int kEdgePairsOfWarp = 2 * kEdgePairs / kProductWarps;
static_assert(kProductWarps >= kRowDistances && kEdgePairsOfWarp * kProductWarps == 2 * kEdgePairs);

/// partial[part][channel][kRowPairs][width][width + 1], those of a distance that are in no edge: a warp for each.
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
  float* of_channel = partial + (int64_t{blockIdx.y} * gridDim.x + c) * kRowPairs * planes.matrix();
  write_matrix<kTiles>(sums, planes.width, of_channel + distance * planes.matrix());
}

/// The same of the pairs of rows of both edges: three for each warp.
template <class T, int kTiles>
__global__ void __launch_bounds__(kProductThreads)
    edges_kernel(RowPlanes planes, int images_of_part, const T* from, float* partial) {
  extern __shared__ __align__(16) uint16_t shared[];
  const int c = blockIdx.x, first = blockIdx.y * images_of_part;
  const int first_pair = threadIdx.x / kLanes * kEdgePairsOfWarp;
  int rows[kEdgePairsOfWarp], others[kEdgePairsOfWarp];
#pragma unroll
  for (int i = 0; i < kEdgePairsOfWarp; ++i) {
    const int pair = first_pair + i, start = pair < kEdgePairs ? 0 : planes.height - kEdgeRows;
    int r = 0;
    while (r + 1 < kEdgeRows && edge_pair(r + 1, r + 1) <= pair % kEdgePairs) ++r;
    rows[i] = start + r;
    others[i] = start + r + pair % kEdgePairs - edge_pair(r, r);
  }
  const int stride = StagedPlanes<kTiles, 1>::stride(planes);
  const T* const channel[] = {from + c * planes.channel()};
  float sums[kEdgePairsOfWarp][kTiles][2 * kTiles][4] = {};
  each_images<T, kTiles, 1>(planes, channel, first, min(first + images_of_part, planes.images), shared,
                            [&](const uint16_t* images) {
#pragma unroll
                              for (int i = 0; i < kEdgePairsOfWarp; ++i) {
                                const RowOfImages<kTiles> a(images, stride, rows[i] * planes.pitch),
                                    b(images, stride, others[i] * planes.pitch);
                                add_row_product<T, kTiles>(a, b, sums[i]);
                              }
                            });
  float* of_channel = partial + (int64_t{blockIdx.y} * gridDim.x + c) * kRowPairs * planes.matrix();
#pragma unroll
  for (int i = 0; i < kEdgePairsOfWarp; ++i) {
    write_matrix<kTiles>(sums[i], planes.width, of_channel + (kRowDistances + first_pair + i) * planes.matrix());
  }
}

constexpr int kTapThreads = 512;
constexpr int kTapWarps = kTapThreads / kLanes;
constexpr int kLanesOfTap = 4;  // that share the sum for one tap

/// Sums over all pairs of a distance, and without the first or last rows: in place, one entry of the matrices.
__device__ __forceinline__ void leave_rows_out(float* entry, int matrix, int distance) {
  float* const top = entry + first_of_edge(false) * matrix;
  float* const bottom = entry + first_of_edge(true) * matrix;
  float total = entry[distance * matrix];
  for (int r = 0; r + distance < kEdgeRows; ++r) {
    const int pair = edge_pair(r, r + distance);
    total += top[pair * matrix] + bottom[pair * matrix];
  }
  entry[distance * matrix] = total;
  float left = total;
  for (int r = 0; r + distance < kEdgeRows; ++r) {
    float& pair = top[edge_pair(r, r + distance) * matrix];
    pair = left -= pair;
  }
  left = total;
  for (int r = kEdgeRows - 1 - distance; r >= 0; --r) {
    float& pair = bottom[edge_pair(r, r + distance) * matrix];
    pair = left -= pair;
  }
}

/// Running sums along diagonal l - i = `diagonal`, or along the last column for diagonal kRowDistances: in place.
__device__ __forceinline__ void add_along(float* matrix, int diagonal, int width) {
  float sum = 0.F;
  for (int i = 0; i < width; ++i) {
    const int l = diagonal == kRowDistances ? width : i + diagonal;
    if (l < 0 || (l >= width && diagonal != kRowDistances)) continue;
    float& entry = matrix[i * (width + 1) + l];
    entry = sum += entry;
  }
}

/// R[(jy, jx), (ky, kx)] of row_pairs.h, jy <= ky. \param sums  the matrix of jy and ky, summed along diagonals.
__device__ __forceinline__ float product_of_taps(const float* sums, int jx, int kx, int width) {
  const int distance = kx - jx;
  const ColumnRange range(jx, distance, width);
  if (range.last < range.first) return 0.F;
  const float all = sums[range.last * (width + 2) + distance];
  const int before = range.first - 1;
  return before >= 0 && before + distance >= 0 ? all - sums[before * (width + 2) + distance] : all;
}

/// A lane's share of Z_b[k] = sum_j w_b[j] R[j, k]: every kLanesOfTap-th row of taps.
/// \param weights  of all branches, of this channel.
__device__ __forceinline__ float product_with_branch(const float* matrices, const RowPlanes& planes,
                                                     const float* weights, int branch, int ky, int kx, int share) {
  const int size = branch_size(branch), dilation = branch_dilation(branch), reach = branch_reach(branch);
  const float* of_branch = weights + first_of_branch(branch);
  float sum = 0.F;
  for (int row = share; row < size; row += kLanesOfTap) {
    const int jy = row * dilation - reach;
    const bool is_first = jy <= ky;
    const float* sums = matrices + (is_first ? matrix_of_taps(jy, ky) : matrix_of_taps(ky, jy)) * planes.matrix();
    for (int column = 0; column < size; ++column) {
      const int jx = column * dilation - reach;
      const float product =
          is_first ? product_of_taps(sums, jx, kx, planes.width) : product_of_taps(sums, kx, jx, planes.width);
      sum = fmaf(of_branch[row * size + column], product, sum);
    }
  }
  return sum;
}

/// X[k] = sum_p x[p + k], of the last column of the matrices.
__device__ __forceinline__ float sum_at_tap(const float* matrices, const RowPlanes& planes, int ky, int kx) {
  const float* sums = matrices + matrix_of_taps(ky, ky) * planes.matrix() + planes.width;
  const int row = planes.width + 1, last = kx < 0 ? planes.width - 1 + kx : planes.width - 1;
  return sums[last * row] - (kx > 0 ? sums[(kx - 1) * row] : 0.F);
}

__device__ __forceinline__ double sum_of_warp(double value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(~0U, value, distance);
  return value;
}

/// sum_k w_b[k] of_taps[k] over the taps of branch b, for all lanes of a warp.
__device__ __forceinline__ double sum_over_taps(const float* weights, int b, const float* of_taps) {
  const int first = first_of_branch(b), taps = first_of_branch(b + 1) - first;
  double sum = 0;
  for (int tap = threadIdx.x % kLanes; tap < taps; tap += kLanes) {
    sum += static_cast<double>(weights[first + tap]) * of_taps[large_tap(b, tap)];
  }
  return sum_of_warp(sum);
}

/// A channel: products with all taps, and of these the moments.
__global__ void __launch_bounds__(kTapThreads)
    second_moments_kernel(RowPlanes planes, int parts, const float* partial, const float* packed, double pixels,
                          float* moments, float* products) {
  extern __shared__ float memory[];  // matrices [kRowPairs][width][width + 1], weights, products
  __shared__ double means[kBranches];
  const int c = blockIdx.x, channels = gridDim.x, thread = threadIdx.x, matrix = planes.matrix();
  const int values = kRowPairs * matrix;
  float* weights = memory + values;
  float* of_taps = weights + kAllTaps;
  for (int i = thread; i < values; i += kTapThreads) {
    double sum = 0;
    for (int part = 0; part < parts; ++part) sum += partial[(int64_t{part} * channels + c) * values + i];
    memory[i] = static_cast<float>(sum);
  }
  for (int tap = thread; tap < kAllTaps; tap += kTapThreads) weights[tap] = packed[int64_t{tap} * channels + c];
  __syncthreads();
  for (int i = thread; i < kRowDistances * matrix; i += kTapThreads)
    leave_rows_out(memory + i % matrix, matrix, i / matrix);
  __syncthreads();
  constexpr int kDiagonals = 2 * kRowDistances;  // -12 to 12, and the last column
  for (int i = thread; i < kRowPairs * kDiagonals; i += kTapThreads) {
    add_along(memory + i / kDiagonals * matrix, i % kDiagonals - kRowDistances + 1, planes.width);
  }
  __syncthreads();
  const unsigned mask = ((1U << kLanesOfTap) - 1) << (thread % kLanes / kLanesOfTap * kLanesOfTap);
  for (int i = thread; i < kRowsOfProducts * kLargeTaps * kLanesOfTap; i += kTapThreads) {  // whole groups of lanes
    const int at = i / kLanesOfTap, branch = at / kLargeTaps, tap = at % kLargeTaps, share = i % kLanesOfTap;
    const int ky = tap / kLargeSize - kLargeReach, kx = tap % kLargeSize - kLargeReach;
    float sum = branch < kBranches ? product_with_branch(memory, planes, weights, branch, ky, kx, share)
                                   : (share == 0 ? sum_at_tap(memory, planes, ky, kx) : 0.F);
#pragma unroll
    for (int distance = kLanesOfTap / 2; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(mask, sum, distance);
    }
    if (share == 0) {
      of_taps[at] = sum;
      products[int64_t{at} * channels + c] = sum;
    }
  }
  __syncthreads();
  const int warp = thread / kLanes;
  if (thread == 0) moments[c] = static_cast<float>(pixels);
  if (warp < kBranches) {
    const double mean = sum_over_taps(weights, warp, of_taps + kBranches * kLargeTaps) / pixels;
    means[warp] = mean;
    if (thread % kLanes == 0) moments[int64_t{1 + warp} * channels + c] = static_cast<float>(mean);
  }
  __syncthreads();
  for (int pair = warp; pair < kPairs; pair += kTapWarps) {
    int b = 0, d = pair;
    while (d >= kBranches - b) d -= kBranches - b++;
    d += b;
    const double product = sum_over_taps(weights, d, of_taps + b * kLargeTaps) - pixels * means[b] * means[d];
    if (thread % kLanes == 0) moments[int64_t{1 + kBranches + pair} * channels + c] = static_cast<float>(product);
  }
}

constexpr int kGradientThreads = 256;

__global__ void __launch_bounds__(kGradientThreads)
    weight_gradients_kernel(int channels, const float* correlation, const float* coefficients, const float* products,
                            WeightGradients gradients) {
  const int i = blockIdx.x * kGradientThreads + threadIdx.x, c = i % channels, tap = i / channels;
  if (tap >= kLargeTaps) return;
  const auto coefficient = [&](int row) { return coefficients[int64_t{row} * channels + c]; };
  const auto product = [&](int row) { return products[(int64_t{row} * kLargeTaps + tap) * channels + c]; };
  const float sum = product(kBranches);  // X
  float centred[kBranches], of_all = 0.F;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    centred[b] = product(b) - coefficient(row_of_mean(b)) * sum;
    of_all = fmaf(coefficient(row_of_slope(b)), centred[b], of_all);
  }
  const float of_h = coefficient(kOuterSlope) * (correlation[int64_t{tap} * channels + c] -
                                                 coefficient(kMeanOfGradient) * sum - coefficient(kKappa) * of_all);
  const int down = tap / kLargeSize - kLargeReach, right = tap % kLargeSize - kLargeReach;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    const int reach = branch_reach(b), dilation = branch_dilation(b), y = down + reach, x = right + reach;
    const bool meets = y >= 0 && y <= 2 * reach && x >= 0 && x <= 2 * reach && y % dilation == 0 && x % dilation == 0;
    if (!meets) continue;
    const int size = branch_size(b), of_branch = y / dilation * size + x / dilation;
    gradients.weight[b][int64_t{c} * size * size + of_branch] =
        coefficient(row_of_slope(b)) * of_h - coefficient(row_of_pull(b)) * centred[b];
  }
}

template <class T>
void launch_pairs(const Map& map, const T* planes, const ImageParts& parts, float* partial, Stream stream) {
  const auto of = planes_of(map);
  with_tiles(of, [&]<int kTiles>() {
    const size_t bytes = StagedPlanes<kTiles, 1>::bytes(of);
    const dim3 grid(map.channels, parts.count);
    auto* distances = distances_kernel<T, kTiles>;
    auto* edges = edges_kernel<T, kTiles>;
    allow_shared(distances, bytes);
    allow_shared(edges, bytes);
    distances<<<grid, kProductThreads, bytes, stream>>>(of, parts.images, planes, partial);
    edges<<<grid, kProductThreads, bytes, stream>>>(of, parts.images, planes, partial);
  });
}

/// Bytes that a channel takes for its matrices, weights and products.
size_t shared_bytes(const RowPlanes& planes) {
  return sizeof(float) * (kRowPairs * planes.matrix() + kAllTaps + kRowsOfProducts * kLargeTaps);
}

}  // namespace

bool has_second_moments(Element element, const Map& map) {
  return has_data_gradient(element, map) && can_correlate_planes(map) &&
         static_cast<int64_t>(shared_bytes(planes_of(map))) <= most_shared_bytes();
}

int64_t product_rows() { return int64_t{kRowsOfProducts} * kLargeTaps; }

int64_t second_moments_bytes(const Map& map) {
  const int64_t values = int64_t{kRowPairs} * planes_of(map).matrix();
  return ImageParts(map).count * map.channels * values * static_cast<int64_t>(sizeof(float));
}

void second_moments(Element element, const Map& map, const void* planes, const float* packed, float* moments,
                    float* products, void* workspace, Stream stream) {
  const ImageParts parts(map);
  auto* partial = static_cast<float*>(workspace);
  const auto of = planes_of(map);
  with_type(element, [&]<class T>(T) {
    if constexpr (sizeof(T) == sizeof(uint16_t)) {
      launch_pairs(map, static_cast<const T*>(planes), parts, partial, stream);
    }
  });
  const size_t bytes = shared_bytes(of);
  allow_shared(second_moments_kernel, bytes);
  const double pixels = static_cast<double>(map.images) * map.height * map.width;
  second_moments_kernel<<<map.channels, kTapThreads, bytes, stream>>>(of, parts.count, partial, packed, pixels, moments,
                                                                      products);
}

void weight_gradients(const Map& map, const float* correlation, const float* coefficients, const float* products,
                      const WeightGradients& gradients, Stream stream) {
  weight_gradients_kernel<<<ceil_div(int64_t{kLargeTaps} * map.channels, kGradientThreads), kGradientThreads, 0,
                            stream>>>(map.channels, correlation, coefficients, products, gradients);
}

}  // namespace unireplk::kernels::cuda
