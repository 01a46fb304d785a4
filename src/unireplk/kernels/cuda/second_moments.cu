#include "unireplk/kernels/cuda/second_moments.h"

#include "unireplk/kernels/cuda/branches.cuh"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/data_gradient.h"
#include "unireplk/kernels/cuda/row_pair_products.h"
#include "unireplk/kernels/cuda/row_products.cuh"

namespace unireplk::kernels::cuda {
namespace {

static_assert(kPairReach == kLargeReach);

constexpr int kRowsOfProducts = kBranches + 1;  // each of kLargeTaps

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

/// Of a map of few lines: running sums from the first pair of a distance on.
__device__ __forceinline__ void add_rows_up(float* entry, int matrix, int distance, int height) {
  float sum = 0.F;
  for (int r = 0; r + distance < height; ++r) {
    float& pair = entry[ordered_pair(r, r + distance, height) * matrix];
    pair = sum += pair;
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

/// What columns jx and kx take of a matrix that is summed along diagonals.
__device__ __forceinline__ float take_columns(const float* sums, int jx, int kx, int width) {
  const int distance = kx - jx;
  const LineRange range(jx, distance, width);
  if (range.last < range.first) return 0.F;
  const float all = sums[range.last * (width + 2) + distance];
  const int before = range.first - 1;
  return before >= 0 && before + distance >= 0 ? all - sums[before * (width + 2) + distance] : all;
}

/// R[(jy, jx), (ky, kx)] of row_pairs.h, jy <= ky, from the matrices of both rows.
__device__ __forceinline__ float product_of_taps(const float* matrices, const RowPlanes& planes,
                                                 const TapMatrices& rows, int jx, int kx) {
  if (rows.all == kNoMatrix) return 0.F;
  const float all = take_columns(matrices + rows.all * planes.matrix(), jx, kx, planes.width);
  if (rows.before == kNoMatrix) return all;
  return all - take_columns(matrices + rows.before * planes.matrix(), jx, kx, planes.width);
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
    const TapMatrices rows(is_first ? jy : ky, is_first ? ky : jy, planes.height);
    for (int column = 0; column < size; ++column) {
      const int jx = column * dilation - reach;
      const float product = product_of_taps(matrices, planes, rows, is_first ? jx : kx, is_first ? kx : jx);
      sum = fmaf(of_branch[row * size + column], product, sum);
    }
  }
  return sum;
}

/// X[k] = sum_p x[p + k], of the last column of the matrices.
__device__ __forceinline__ float sum_at_tap(const float* matrices, const RowPlanes& planes, int ky, int kx) {
  const TapMatrices rows(ky, ky, planes.height);
  const LineRange range(kx, 0, planes.width);
  if (rows.all == kNoMatrix || range.last < range.first) return 0.F;
  const auto take = [&](int matrix) {
    const float* sums = matrices + matrix * planes.matrix() + planes.width;
    const int row = planes.width + 1;
    return sums[range.last * row] - (range.first > 0 ? sums[(range.first - 1) * row] : 0.F);
  };
  return rows.before == kNoMatrix ? take(rows.all) : take(rows.all) - take(rows.before);
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

/// What a thread block holds of its channel in shared memory.
struct Channel {
  int index, channels;  ///< of how many
  float* matrices;      ///< [row_pairs()][width][width + 1]
  float* weights;       ///< of all branches
  float* of_taps;       ///< [kRowsOfProducts][kLargeTaps]

  __device__ __forceinline__ Channel(const RowPlanes& planes, float* memory)
      : index(blockIdx.x),
        channels(gridDim.x),
        matrices(memory),
        weights(matrices + row_pairs(planes.height) * planes.matrix()),
        of_taps(weights + kAllTaps) {}
};

__device__ __forceinline__ void load_channel(const RowPlanes& planes, int parts, const float* partial,
                                             const float* packed, const Channel& of) {
  const int values = row_pairs(planes.height) * planes.matrix();
  for (int i = threadIdx.x; i < values; i += kTapThreads) {
    double sum = 0;
    for (int part = 0; part < parts; ++part) sum += partial[(int64_t{part} * of.channels + of.index) * values + i];
    of.matrices[i] = static_cast<float>(sum);
  }
  for (int tap = threadIdx.x; tap < kAllTaps; tap += kTapThreads) {
    of.weights[tap] = packed[int64_t{tap} * of.channels + of.index];
  }
}

/// From products of pairs of rows to what taps meet in: row_pairs.h.
__device__ __forceinline__ void sum_matrices(const RowPlanes& planes, const Channel& of) {
  const int matrix = planes.matrix();
  const bool is_few = has_few(planes.height);
  for (int i = threadIdx.x; i < (is_few ? planes.height : kRowDistances) * matrix; i += kTapThreads) {
    float* entry = of.matrices + i % matrix;
    if (is_few) {
      add_rows_up(entry, matrix, i / matrix, planes.height);
    } else {
      leave_rows_out(entry, matrix, i / matrix);
    }
  }
  __syncthreads();
  constexpr int kDiagonals = 2 * kRowDistances;  // -12 to 12, and the last column
  for (int i = threadIdx.x; i < row_pairs(planes.height) * kDiagonals; i += kTapThreads) {
    add_along(of.matrices + i / kDiagonals * matrix, i % kDiagonals - kRowDistances + 1, planes.width);
  }
}

/// Products of x with the branches, and with 1, at all taps.
__device__ __forceinline__ void multiply_taps(const RowPlanes& planes, const Channel& of, float* products) {
  const int group = threadIdx.x % kLanes / kLanesOfTap * kLanesOfTap;
  const unsigned mask = ((1U << kLanesOfTap) - 1) << group;
  for (int i = threadIdx.x; i < kRowsOfProducts * kLargeTaps * kLanesOfTap; i += kTapThreads) {  // of whole groups
    const int at = i / kLanesOfTap, branch = at / kLargeTaps, tap = at % kLargeTaps, share = i % kLanesOfTap;
    const int ky = tap / kLargeSize - kLargeReach, kx = tap % kLargeSize - kLargeReach;
    float sum = 0.F;
    if (branch < kBranches) {
      sum = product_with_branch(of.matrices, planes, of.weights, branch, ky, kx, share);
    } else if (share == 0) {
      sum = sum_at_tap(of.matrices, planes, ky, kx);
    }
#pragma unroll
    for (int distance = kLanesOfTap / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(mask, sum, distance);
    if (share != 0) continue;
    of.of_taps[at] = sum;
    products[int64_t{at} * of.channels + of.index] = sum;
  }
}

/// A warp for each branch, then for each pair of them.
__device__ __forceinline__ void write_moments(const Channel& of, double pixels, float* moments) {
  __shared__ double means[kBranches];
  const int warp = threadIdx.x / kLanes;
  const bool is_first = threadIdx.x % kLanes == 0;
  const auto set = [&](int row, double value) {
    if (is_first) moments[int64_t{row} * of.channels + of.index] = static_cast<float>(value);
  };
  if (warp == 0) set(0, pixels);
  if (warp < kBranches) {
    const double mean = sum_over_taps(of.weights, warp, of.of_taps + kBranches * kLargeTaps) / pixels;
    if (is_first) means[warp] = mean;
    set(1 + warp, mean);
  }
  __syncthreads();
  for (int pair = warp; pair < kPairs; pair += kTapWarps) {
    const auto [b, d] = OrderedPair(pair, kBranches);
    const double product = sum_over_taps(of.weights, d, of.of_taps + b * kLargeTaps);
    set(1 + kBranches + pair, product - pixels * means[b] * means[d]);
  }
}

/// A channel: products with all taps, and of these the moments.
__global__ void __launch_bounds__(kTapThreads, 1)
    second_moments_kernel(RowPlanes planes, int parts, const float* partial, const float* packed, double pixels,
                          float* moments, float* products) {
  extern __shared__ float memory[];
  const Channel channel(planes, memory);
  load_channel(planes, parts, partial, packed, channel);
  __syncthreads();
  sum_matrices(planes, channel);
  __syncthreads();
  multiply_taps(planes, channel, products);
  __syncthreads();
  write_moments(channel, pixels, moments);
}

/// Bytes that a channel takes for its matrices, weights and products.
size_t shared_bytes(const RowPlanes& planes) {
  return sizeof(float) * (row_pairs(planes.height) * planes.matrix() + kAllTaps + kRowsOfProducts * kLargeTaps);
}

}  // namespace

bool has_second_moments(Element element, const Map& map) {
  return has_data_gradient(element, map) && can_correlate_planes(map) &&
         static_cast<int64_t>(shared_bytes(planes_of(map))) <= most_shared_bytes();
}

int64_t product_rows() { return int64_t{kRowsOfProducts} * kLargeTaps; }

int64_t second_moments_bytes(const Map& map) {
  const int64_t values = int64_t{row_pairs(map.height)} * planes_of(map).matrix();
  return int64_t{row_pair_parts(map)} * map.channels * values * static_cast<int64_t>(sizeof(float));
}

void second_moments(Element element, const Map& map, const void* planes, const float* packed, float* moments,
                    float* products, void* workspace, Stream stream) {
  auto* partial = static_cast<float*>(workspace);
  multiply_row_pairs(element, map, planes, partial, stream);
  const auto of = planes_of(map);
  const size_t bytes = shared_bytes(of);
  allow_shared(second_moments_kernel, bytes);
  const double pixels = static_cast<double>(map.images) * map.height * map.width;
  second_moments_kernel<<<map.channels, kTapThreads, bytes, stream>>>(of, row_pair_parts(map), partial, packed, pixels,
                                                                      moments, products);
}

}  // namespace unireplk::kernels::cuda
