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

struct PairMatrices {
  float* flipped;  ///< s W, the last tap first, [kLargeTaps][channels]
  float* offsets;  ///< k(q), [channels][kOwnKinds, of rows][PairMatrix::kColumns]
  float* scales;   ///< [channels], with which products of matrices are to be multiplied
  uint4* values;   ///< [channels][kKinds], each laid out as PairMatrix says
};

inline constexpr int kTableThreads = 384;
inline constexpr int kRanks = 1 + kBranches;  // products of which B is made: those of W, of each branch
inline constexpr int kLargest = 12;           // exponent of what no entry of a scaled B exceeds: well within fp16
inline constexpr int kFirstAhead = kKinds - kKindsAhead;

/// Of a channel.
struct PairTables {
  float left[kRanks][kLargeTaps], right[kRanks][kLargeTaps];  // B is made of the products left(tap) right(tap')
  float constant[kLargeTaps];                                 // k's terms
  float sizes[kLargeTaps];                                    // of products of a tap with itself
  float of_rows[kKindsAhead][kLargeTaps];     // sums over rows: [tap's column][column of tap'], rows in order
  float constant_rows[kOwnKinds][kPairTaps];  // the same of k
  float entries[kKindsAhead][kKinds];         // and over columns
  float offsets[kOwnKinds][kOwnKinds];
};

/// Call store(place of the kind among those of the distance, sum over its tap pairs).
/// \param values  of the tap pairs of this distance, which is not negative, then zeros.
template <class Store>
__device__ __forceinline__ void add_kinds(int distance, const float (&values)[kPairTaps], Store store) {
  const int pairs = tap_pairs(distance), border = border_pairs(distance);
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
    const int low = pairs - i - kPairReach - 1;
    if (low >= 0 && low < border) store(1 + border + low, sum);
  }
}

/// \param flipped  of the channel's first tap.
__device__ __forceinline__ void load_taps(int channels, int c, const float* packed, const float* coefficients,
                                          PairTables& tables, float* flipped) {
  const auto coefficient = [&](int row) { return coefficients[int64_t{row} * channels + c]; };
  const int tap = threadIdx.x;
  if (tap >= kLargeTaps) return;
  const float outer = coefficient(kOuterSlope), kappa = coefficient(kKappa);
  float merged = 0.F, shift = 0.F, constant = 0.F, size = 0.F;
  const auto set = [&](int rank, float left, float right) {
    tables.left[rank][tap] = left;
    tables.right[rank][tap] = right;
    size += fabsf(left * right);
  };
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    const float slope = coefficient(row_of_slope(b)), pull = coefficient(row_of_pull(b));
    const float mean = coefficient(row_of_mean(b));
    const int of_branch = branch_tap(b, tap);
    const float weight = of_branch < 0 ? 0.F : packed[int64_t{first_of_branch(b) + of_branch} * channels + c];
    merged = fmaf(slope, weight, merged);
    shift = fmaf(slope, mean, shift);
    constant = fmaf(pull * mean, weight, constant);
    set(1 + b, -pull * weight, weight);
  }
  set(0, -outer * kappa * merged, merged);
  tables.constant[tap] = constant - outer * merged * (coefficient(kMeanOfGradient) - kappa * shift);
  tables.sizes[tap] = size;
  flipped[int64_t{kLargeTaps - 1 - tap} * channels] = outer * merged;
}

/// Exponent of the power of two with which B is multiplied. No entry exceeds the sum of products of taps with
/// themselves (Cauchy and Schwarz).
__device__ __forceinline__ int exponent_of_scale(const PairTables& tables) {
  float sum = 0.F;
  for (int tap = threadIdx.x % kLanes; tap < kLargeTaps; tap += kLanes) sum += tables.sizes[tap];
  int exponent = 0;
  frexpf(sum_of_warp(sum), &exponent);
  return kLargest - min(max(exponent, -100), 100);  // so that it and its reciprocal are normal numbers
}

/// Sums over the rows of tap pairs, for distances from kFirst to kLast, of two columns of taps.
template <int kFirst, int kLast>
__device__ __forceinline__ void add_rows(int item, PairTables& tables) {
  float values[kLast - kFirst + 1][kPairTaps] = {};
#pragma unroll 1
  for (int rank = 0; rank < kRanks; ++rank) {
    float left[kPairTaps], right[kPairTaps];
#pragma unroll
    for (int row = 0; row < kPairTaps; ++row) {
      left[row] = tables.left[rank][row * kPairTaps + item / kPairTaps];
      right[row] = tables.right[rank][row * kPairTaps + item % kPairTaps];
    }
#pragma unroll
    for (int distance = kFirst; distance <= kLast; ++distance) {
#pragma unroll
      for (int row = 0; row + distance < kPairTaps; ++row) {
        float& value = values[distance - kFirst][row];
        value = fmaf(left[row], right[row + distance], value);
      }
    }
  }
#pragma unroll
  for (int distance = kFirst; distance <= kLast; ++distance) {
    float(*of_rows)[kLargeTaps] = tables.of_rows + first_kind(distance) - kFirstAhead;
    add_kinds(distance, values[distance - kFirst], [&](int place, float sum) { of_rows[place][item] = sum; });
  }
}

/// The same for all columns: half of the threads take the near distances, which are as much work as the others.
__device__ __forceinline__ void add_rows(PairTables& tables) {
  constexpr int kHalf = kTableThreads / 2, kNear = 3;
  static_assert(kHalf >= kLargeTaps + kPairTaps && kHalf % kLanes == 0);
  const int item = threadIdx.x % kHalf;
  if (item < kLargeTaps) {
    threadIdx.x < kHalf ? add_rows<0, kNear>(item, tables) : add_rows<kNear + 1, kFarthest>(item, tables);
  } else if (threadIdx.x < kHalf && item < kLargeTaps + kPairTaps) {
    const int column = item - kLargeTaps;
    float values[kPairTaps];
#pragma unroll
    for (int row = 0; row < kPairTaps; ++row) values[row] = tables.constant[row * kPairTaps + column];
    add_kinds(0, values, [&](int place, float sum) { tables.constant_rows[place][column] = sum; });
  }
}

/// Sums over the columns of those.
__device__ __forceinline__ void add_columns(float scale, PairTables& tables) {
  for (int item = threadIdx.x; item < kKindsAhead * kDistances; item += kTableThreads) {
    const int kind = item / kDistances, across = item % kDistances - kFarthest, distance = magnitude(across);
    const float* of_rows = tables.of_rows[kind] + (across < 0 ? distance * kPairTaps : distance);
    float values[kPairTaps];
#pragma unroll
    for (int i = 0; i < kPairTaps; ++i) values[i] = i + distance < kPairTaps ? of_rows[i * (kPairTaps + 1)] : 0.F;
    const int first = inside_kind(across), step = across < 0 ? -1 : 1;
    add_kinds(distance, values,
              [&](int place, float sum) { tables.entries[kind][first + step * place] = sum * scale; });
  }
  if (threadIdx.x >= kOwnKinds) return;
  const int kind = threadIdx.x;
  add_kinds(0, tables.constant_rows[kind], [&](int place, float sum) { tables.offsets[kind][place] = sum; });
}

/// The matrices of rows in order, and of those that change places: all but those of a row with itself.
/// \param values  of the channel.
template <class T, class Matrix>
__device__ __forceinline__ void write_matrices(bool is_opposite, int columns, const PairTables& tables, uint4* values) {
  constexpr int kChunks = Matrix::kChunks * kLanes;
  static_assert(kTableThreads % kChunks == 0);
  const int chunk = threadIdx.x % kChunks, lane = chunk % kLanes;
  int of_columns[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const auto at = Matrix::entry(lane, chunk / kLanes * 4 + i / 2);
    const int l = at.l + i % 2;
    const bool is_map = at.i < columns && l < columns;
    of_columns[i] = !is_map ? kNoKind : is_opposite ? kind_of(l, at.i, columns) : kind_of(at.i, l, columns);
  }
  const int first = is_opposite ? kOwnKinds : 0;
#pragma unroll 2
  for (int ahead = first + threadIdx.x / kChunks; ahead < kKindsAhead; ahead += kTableThreads / kChunks) {
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto entry = [&](int of) { return of == kNoKind ? 0.F : tables.entries[ahead][of]; };
      words[i] = pack_pair<T>(entry(of_columns[2 * i]), entry(of_columns[2 * i + 1]));
    }
    const int kind = kFirstAhead + ahead;
    values[(is_opposite ? opposite_kind(kind) : kind) * kChunks + chunk] = {words[0], words[1], words[2], words[3]};
  }
}

/// \param kinds    of rows.
/// \param offsets  of the channel.
template <class Matrix>
__device__ __forceinline__ void write_offsets(int kinds, int columns, const PairTables& tables, float* offsets) {
  for (int i = threadIdx.x; i < kinds * Matrix::kColumns; i += kTableThreads) {
    const int column = i % Matrix::kColumns;
    offsets[i] = column < columns ? tables.offsets[i / Matrix::kColumns][own_kind(column, columns)] : 0.F;
  }
}

static_assert(ordered_pairs(kMostFewLines) <= kKindsAhead && kMostFewLines * kMostFewLines <= kKinds);
static_assert(kMostFewLines <= kOwnKinds);

/// Of maps of few lines: sums over the rows of tap pairs, for each pair of rows in order.
__device__ __forceinline__ void add_rows_of_few(int height, PairTables& tables) {
  for (int item = threadIdx.x; item < ordered_pairs(height) * kLargeTaps; item += kTableThreads) {
    const int pair = item / kLargeTaps, columns = item % kLargeTaps;
    const auto [low, high] = OrderedPair(pair, height);
    const int distance = high - low;
    const TapPairs range(low, distance, height);
    const int left = columns / kPairTaps, right = columns % kPairTaps + distance * kPairTaps;
    float sum = 0.F;
    for (int row = range.first; row <= range.last; ++row) {
#pragma unroll
      for (int rank = 0; rank < kRanks; ++rank) {
        sum = fmaf(tables.left[rank][row * kPairTaps + left], tables.right[rank][row * kPairTaps + right], sum);
      }
    }
    tables.of_rows[pair][columns] = sum;
  }
  for (int item = threadIdx.x; item < height * kPairTaps; item += kTableThreads) {
    const int line = item / kPairTaps, column = item % kPairTaps;
    const TapPairs range(line, 0, height);
    float sum = 0.F;
    for (int row = range.first; row <= range.last; ++row) sum += tables.constant[row * kPairTaps + column];
    tables.constant_rows[line][column] = sum;
  }
}

/// And sums over the columns of those, for each pair of columns.
__device__ __forceinline__ void add_columns_of_few(int height, int width, float scale, PairTables& tables) {
  for (int item = threadIdx.x; item < ordered_pairs(height) * width * width; item += kTableThreads) {
    const int pair = item / (width * width), i = item / width % width, l = item % width;
    const int distance = magnitude(l - i);
    const TapPairs range(min(i, l), distance, width);
    const float* of_rows = tables.of_rows[pair] + (l < i ? distance * kPairTaps : distance);
    float sum = 0.F;
    for (int tap = range.first; tap <= range.last; ++tap) sum += of_rows[tap * (kPairTaps + 1)];
    tables.entries[pair][i * width + l] = sum * scale;
  }
  for (int item = threadIdx.x; item < height * width; item += kTableThreads) {
    const TapPairs range(item % width, 0, width);
    float sum = 0.F;
    for (int tap = range.first; tap <= range.last; ++tap) sum += tables.constant_rows[item / width][tap];
    tables.offsets[item / width][item % width] = sum;
  }
}

/// \param values  of the channel.
template <class T, class Matrix>
__device__ __forceinline__ void write_matrices_of_few(int height, int width, const PairTables& tables, uint4* values) {
  constexpr int kChunks = Matrix::kChunks * kLanes;
  for (int item = threadIdx.x; item < height * height * kChunks; item += kTableThreads) {
    const int kind = item / kChunks, chunk = item % kChunks, line = kind / height, other = kind % height;
    const bool is_opposite = other < line;
    const float* entries = tables.entries[ordered_pair(min(line, other), max(line, other), height)];
    const auto entry = [&](int i, int l) {
      return i < width && l < width ? entries[is_opposite ? l * width + i : i * width + l] : 0.F;
    };
    uint32_t words[4];
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      const auto at = Matrix::entry(chunk % kLanes, chunk / kLanes * 4 + word);
      words[word] = pack_pair<T>(entry(at.i, at.l), entry(at.i, at.l + 1));
    }
    values[item] = {words[0], words[1], words[2], words[3]};
  }
}

/// A thread block: a channel.
template <class T, class Matrix>
__global__ void __launch_bounds__(kTableThreads)
    pair_matrices_kernel(int height, int width, int channels, const float* packed, const float* coefficients,
                         PairMatrices matrices) {
  extern __shared__ __align__(16) PairTables tables[];
  const int c = blockIdx.x;
  load_taps(channels, c, packed, coefficients, *tables, matrices.flipped + c);
  __syncthreads();
  const int exponent = exponent_of_scale(*tables);
  if (threadIdx.x == 0) matrices.scales[c] = ldexpf(1.F, -exponent);
  const float scale = ldexpf(1.F, exponent);
  uint4* values = matrices.values + int64_t{c} * kKinds * Matrix::kChunks * kLanes;
  if (has_few(height)) {
    add_rows_of_few(height, *tables);
    __syncthreads();
    add_columns_of_few(height, width, scale, *tables);
    __syncthreads();
    write_matrices_of_few<T, Matrix>(height, width, *tables, values);
  } else {
    add_rows(*tables);
    __syncthreads();
    add_columns(scale, *tables);
    __syncthreads();
    write_matrices<T, Matrix>(false, width, *tables, values);
    write_matrices<T, Matrix>(true, width, *tables, values);
  }
  const int kinds = has_few(height) ? height : kOwnKinds;
  write_offsets<Matrix>(kinds, width, *tables, matrices.offsets + int64_t{c} * kOwnKinds * Matrix::kColumns);
}

template <class T, class Matrix>
void make_pair_matrices(const Map& map, const float* packed, const float* coefficients, const PairMatrices& matrices,
                        Stream stream) {
  auto* kernel = pair_matrices_kernel<T, Matrix>;
  allow_shared(kernel, sizeof(PairTables));
  kernel<<<map.channels, kTableThreads, sizeof(PairTables), stream>>>(map.height, map.width, map.channels, packed,
                                                                      coefficients, matrices);
}

}  // namespace unireplk::kernels::cuda
