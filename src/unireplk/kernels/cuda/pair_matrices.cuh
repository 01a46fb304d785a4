#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/block_coefficients.h"
#include "unireplk/kernels/cuda/branches.cuh"
#include "unireplk/kernels/cuda/line_pairs.h"
#include "unireplk/kernels/cuda/mma.cuh"
#include "unireplk/kernels/cuda/pair_tiles.h"

/// What data_gradient.h makes of a channel's coefficients.
namespace unireplk::kernels::cuda {

static_assert(kPairTaps == kLargeSize);

/// Kinds of a line with itself: first_kind(0) is the first.
inline constexpr int kOwnKinds = kinds_of(0);

/// Of a channel: k(q) for each kind of row and of column, and what the products of its matrices are to be multiplied
/// with.
inline constexpr int kOffsets = kOwnKinds * kOwnKinds + 1;

struct PairMatrices {
  float* flipped;  ///< s W, the last tap first, [kLargeTaps][channels]
  float* offsets;  ///< [channels][kOffsets]
  uint4* values;   ///< [channels][kKinds], each laid out as PairMatrix says
};

inline constexpr int kTableThreads = 256;
inline constexpr int kRanks = 1 + kBranches;  // products of which B is made: those of W, of each branch
inline constexpr int kLargest = 12;  // exponent of what no entry of a scaled B exceeds, well within half precision

/// What a tap gives products of taps.
struct alignas(16) Ranks {
  float of[8];
};
static_assert(kRanks <= 8);

/// A thread block's channel, for one distance of rows.
struct Tables {
  Ranks left[kLargeTaps], right[kLargeTaps];         // B's terms are left(tap) right(tap')
  float constant[kLargeTaps];                        // k's terms
  float sizes[kLargeTaps];                           // of products of a tap with itself
  float of_rows[kOwnKinds][kLargeTaps + kPairTaps];  // sums over rows: [tap column][column of tap'], those of k
  float entries[kOwnKinds][kKinds];                  // and over columns, too
};

/// Call store(kind from the distance's first on, sum of value(pair of taps) over those of the kind).
template <class Value, class Store>
__device__ __forceinline__ void add_kinds(int distance, Value value, Store store) {
  const int pairs = tap_pairs(distance), border = border_pairs(distance);
  float values[kPairTaps];
#pragma unroll
  for (int i = 0; i < kPairTaps; ++i) values[i] = i < pairs ? value(i) : 0.F;
  float sum = 0.F;
#pragma unroll
  for (int i = 0; i < kPairTaps; ++i) {
    sum += values[i];
    if (i >= kPairReach && i - kPairReach < border) store(1 + i - kPairReach, sum);
  }
  store(0, sum);
  sum = 0.F;
#pragma unroll
  for (int i = kPairTaps - 1; i >= 0; --i) {
    sum += values[i];
    const int low = pairs - i - kPairTaps + kPairReach;
    if (low >= 0 && low < border) store(1 + border + low, sum);
  }
}

/// The tap of each of a pair's two lines.
__device__ __forceinline__ int tap_of_line(int distance, int pair) { return pair + max(0, -distance); }
__device__ __forceinline__ int tap_of_other(int distance, int pair) { return pair + max(0, distance); }

/// Tables of taps; and flipped, if it is not null.
__device__ __forceinline__ void load_taps(int channels, int c, const float* packed, const float* coefficients,
                                          Tables& tables, float* flipped) {
  const auto coefficient = [&](int row) { return coefficients[int64_t{row} * channels + c]; };
  const float outer = coefficient(kOuterSlope), kappa = coefficient(kKappa);
  for (int tap = threadIdx.x; tap < kLargeTaps; tap += kTableThreads) {
    float merged = 0.F, shift = 0.F, constant = 0.F, size = 0.F;
    Ranks left{}, right{};
#pragma unroll
    for (int b = 0; b < kBranches; ++b) {
      const float slope = coefficient(row_of_slope(b)), pull = coefficient(row_of_pull(b));
      const float mean = coefficient(row_of_mean(b));
      const int of_branch = branch_tap(b, tap);
      const float weight = of_branch < 0 ? 0.F : packed[int64_t{first_of_branch(b) + of_branch} * channels + c];
      merged = fmaf(slope, weight, merged);
      shift = fmaf(slope, mean, shift);
      constant = fmaf(pull * mean, weight, constant);
      left.of[1 + b] = -pull * weight;
      right.of[1 + b] = weight;
    }
    left.of[0] = -outer * kappa * merged;
    right.of[0] = merged;
#pragma unroll
    for (int rank = 0; rank < kRanks; ++rank) size += fabsf(left.of[rank] * right.of[rank]);
    tables.left[tap] = left;
    tables.right[tap] = right;
    tables.constant[tap] = constant - outer * merged * (coefficient(kMeanOfGradient) - kappa * shift);
    tables.sizes[tap] = size;
    if (flipped) flipped[int64_t{kLargeTaps - 1 - tap} * channels + c] = outer * merged;
  }
}

/// Exponent of the power of two with which B is multiplied. No entry exceeds the sum of products of taps with
/// themselves (Cauchy and Schwarz).
__device__ __forceinline__ int exponent_of_scale(const Tables& tables) {
  float sum = 0.F;
  for (int tap = threadIdx.x % kLanes; tap < kLargeTaps; tap += kLanes) sum += tables.sizes[tap];
#pragma unroll
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(~0U, sum, lanes);
  int exponent = 0;
  frexpf(sum, &exponent);
  return kLargest - min(max(exponent, -100), 100);  // so that it and its reciprocal are normal numbers
}

/// Sums over the rows of tap pairs.
__device__ __forceinline__ void add_rows(int distance, Tables& tables) {
  const int items = kLargeTaps + (distance == 0 ? kPairTaps : 0);
  for (int item = threadIdx.x; item < items; item += kTableThreads) {
    const auto store = [&](int kind, float sum) { tables.of_rows[kind][item] = sum; };
    if (item >= kLargeTaps) {
      add_kinds(
          0, [&](int row) { return tables.constant[row * kPairTaps + item - kLargeTaps]; }, store);
      continue;
    }
    const Ranks* left = tables.left + tap_of_line(distance, 0) * kPairTaps + item / kPairTaps;
    const Ranks* right = tables.right + tap_of_other(distance, 0) * kPairTaps + item % kPairTaps;
    const auto product = [&](int row) {
      const Ranks& a = left[row * kPairTaps];
      const Ranks& b = right[row * kPairTaps];
      float sum = 0.F;
#pragma unroll
      for (int rank = 0; rank < kRanks; ++rank) sum = fmaf(a.of[rank], b.of[rank], sum);
      return sum;
    };
    add_kinds(distance, product, store);
  }
}

/// Sums over the columns of those.
/// \param offsets  of the channel.
__device__ __forceinline__ void add_columns(int distance, float scale, Tables& tables, float* offsets) {
  const int kinds = kinds_of(distance);
  for (int item = threadIdx.x; item < kinds * kDistances; item += kTableThreads) {
    const int kind = item / kDistances, across = item % kDistances - kFarthest;
    const float* of_rows = tables.of_rows[kind];
    const auto value = [&](int pair) {
      return of_rows[tap_of_line(across, pair) * kPairTaps + tap_of_other(across, pair)];
    };
    float* entries = tables.entries[kind] + first_kind(across);
    add_kinds(across, value, [&](int of_columns, float sum) { entries[of_columns] = sum * scale; });
  }
  if (distance != 0) return;
  for (int kind = threadIdx.x; kind < kOwnKinds; kind += kTableThreads) {
    add_kinds(
        0, [&](int column) { return tables.of_rows[kind][kLargeTaps + column]; },
        [&](int of_columns, float sum) { offsets[kind * kOwnKinds + of_columns] = sum; });
  }
}

/// The matrices of a distance, or those of the opposite one, in which lines change places.
/// \param values  of the channel.
template <class T, class Matrix>
__device__ __forceinline__ void write_matrices(int distance, bool is_opposite, int columns, const Tables& tables,
                                               uint4* values) {
  constexpr int kChunks = Matrix::kChunks * kLanes, kAtOnce = kTableThreads / kChunks;
  static_assert(kAtOnce > 0);
  const int chunk = threadIdx.x % kChunks, lane = chunk % kLanes;
  if (threadIdx.x >= kAtOnce * kChunks) return;
  int kinds[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const auto at = Matrix::entry(lane, chunk / kLanes * 4 + i / 2);
    const int l = at.l + i % 2;
    const bool is_inside = at.i < columns && l < columns;
    kinds[i] = !is_inside ? kNoKind : is_opposite ? kind_of(l, at.i, columns) : kind_of(at.i, l, columns);
  }
  const int first = first_kind(is_opposite ? -distance : distance);
  for (int kind = threadIdx.x / kChunks; kind < kinds_of(distance); kind += kAtOnce) {
    const float* entries = tables.entries[kind];
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto entry = [&](int of) { return of == kNoKind ? 0.F : entries[of]; };
      words[i] = pack_pair<T>(entry(kinds[2 * i]), entry(kinds[2 * i + 1]));
    }
    values[int64_t{first + kind} * kChunks + chunk] = {words[0], words[1], words[2], words[3]};
  }
}

/// A thread block: a channel and a distance of rows, with its opposite.
template <class T, class Matrix>
__global__ void __launch_bounds__(kTableThreads)
    pair_matrices_kernel(int columns, int channels, const float* packed, const float* coefficients,
                         PairMatrices matrices) {
  __shared__ Tables tables;
  const int c = blockIdx.x, distance = blockIdx.y;
  float* offsets = matrices.offsets + int64_t{c} * kOffsets;
  load_taps(channels, c, packed, coefficients, tables, distance == 0 ? matrices.flipped : nullptr);
  __syncthreads();
  const int exponent = exponent_of_scale(tables);
  if (distance == 0 && threadIdx.x == 0) offsets[kOffsets - 1] = ldexpf(1.F, -exponent);
  add_rows(distance, tables);
  __syncthreads();
  add_columns(distance, ldexpf(1.F, exponent), tables, offsets);
  __syncthreads();
  uint4* of_channel = matrices.values + int64_t{c} * kKinds * Matrix::kChunks * kLanes;
  write_matrices<T, Matrix>(distance, false, columns, tables, of_channel);
  if (distance != 0) write_matrices<T, Matrix>(distance, true, columns, tables, of_channel);
}

/// \param columns  of the map.
template <class T, class Matrix>
void make_pair_matrices(int columns, int channels, const float* packed, const float* coefficients,
                        const PairMatrices& matrices, Stream stream) {
  pair_matrices_kernel<T, Matrix>
      <<<dim3(channels, kFarthest + 1), kTableThreads, 0, stream>>>(columns, channels, packed, coefficients, matrices);
}

}  // namespace unireplk::kernels::cuda
