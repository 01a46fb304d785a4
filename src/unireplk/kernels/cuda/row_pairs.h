#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/line_pairs.h"

/// Second moments of the images of a channel by pairs of rows, and what of them two taps of a kernel of reach 6 meet.
/// Plain numbers, so that the host can check them.
///
/// For rows r <= s, P(r, s)[i, l] is the sum over images of x[r, i] x[s, l]. Taps j and k meet in
///   R[j, k] = sum over pixels p of x[p + j] x[p + k],   x being 0 outside,
/// where p + j runs over the rows r of the map for which p and p + k lie in it as well: of all pairs of rows k_y - j_y
/// apart, the first j_y are left out when j_y > 0, the last -k_y when k_y < 0, and never both, for j_y <= k_y. Columns
/// are left out likewise. So a few sums do for all pairs of taps: over all pairs of lines of a distance, and without
/// the first or last few of these. Only pairs of the first six rows and of the last six are told apart, unless the map
/// has so few that some are both.
namespace unireplk::kernels::cuda {

inline constexpr int kEdgeRows = kPairReach;                 ///< that some pairs of taps leave out
inline constexpr int kRowDistances = kFarthest + 1;          ///< of rows r <= s
inline constexpr int kEdgePairs = ordered_pairs(kEdgeRows);  ///< r <= s of the rows of one edge
inline constexpr int kImagesAtOnce = 16;                     ///< that a product of matrices adds up

/// Planes of a map, [channel][image][row][pitch], in 16 bits: zeros behind the columns, but a 1 right behind them, so
/// that products with a plane give its sums as well; and whole images of zeros until their number is a multiple of
/// kImagesAtOnce.
struct RowPlanes {
  int images, height, width, pitch;

  constexpr RowPlanes(int of_images, int of_height, int of_width)
      : images((of_images + kImagesAtOnce - 1) / kImagesAtOnce * kImagesAtOnce),
        height(of_height),
        width(of_width),
        pitch(of_width < 16 ? 16 : 32) {}

  constexpr int64_t image() const { return int64_t{height} * pitch; }
  constexpr int64_t channel() const { return images * image(); }
  constexpr int matrix() const { return width * (width + 1); }  ///< floats: [width][width + 1], the last column sums
};

/// Number of the matrix of the pair r <= s of the six rows of an edge, among those of that edge.
constexpr int edge_pair(int r, int s) { return ordered_pair(r, s, kEdgeRows); }

/// Matrices of a channel: one for each distance, of the pairs that lie in no edge added up, then those of pairs in an
/// edge; of a map of few lines, one for each pair.
inline constexpr int kMostRowPairs = kRowDistances + 2 * kEdgePairs;
constexpr int row_pairs(int height) { return has_few(height) ? ordered_pairs(height) : kMostRowPairs; }
static_assert(ordered_pairs(kMostFewLines) <= kMostRowPairs);

constexpr int first_of_edge(bool is_bottom) { return kRowDistances + (is_bottom ? kEdgePairs : 0); }

/// Whether both rows of a pair lie in one edge.
constexpr bool is_edge_pair(int r, int s, int height) { return s < kEdgeRows || r >= height - kEdgeRows; }

/// Matrices of a distance, in the order of rows: pairs of the top edge, all that are in no edge added up, pairs of the
/// bottom edge; of a map of few lines, each pair.
constexpr int matrices_of(int distance, int height) {
  if (has_few(height)) return height > distance ? height - distance : 0;
  return 2 * border_pairs(distance) + 1;
}

/// Number of the i-th of these.
constexpr int matrix_of(int distance, int i, int height) {
  if (has_few(height)) return ordered_pair(i, i + distance, height);
  const int edge = border_pairs(distance);
  if (i == edge) return distance;
  const int r = i < edge ? i : i - edge - 1;
  return first_of_edge(i > edge) + edge_pair(r, r + distance);
}

/// Kinds of pairs of lines that taps j <= k meet in: all of distance k - j, which has the number of the distance, or
/// those without the first or last few.
inline constexpr int kTapKinds = kRowDistances + 2 * kEdgePairs;

constexpr int kind_without_first(int left_out, int distance) {
  return kRowDistances + edge_pair(left_out - 1, left_out - 1 + distance);
}
constexpr int kind_without_last(int left_out, int distance) {
  return kRowDistances + kEdgePairs + edge_pair(kEdgeRows - left_out - distance, kEdgeRows - left_out);
}
constexpr int kind_of_taps(int j, int k) {
  if (j > 0) return kind_without_first(j, k - j);
  return k < 0 ? kind_without_last(-k, k - j) : k - j;
}

/// Call store(kind, sum) for all kinds of a distance.
/// \param values  value(0), value(1), ...: of the pairs of lines of this distance, in their order. Pairs in the middle,
///                which no kind leaves out, may be one value.
template <class Sum, class Value, class Store>
constexpr void add_up_kinds(int distance, int values, Value value, Store store) {
  const int most = border_pairs(distance);  // that are left out
  Sum sum = 0;
  int i = 0;
  for (int left_out = most; left_out >= 0; --left_out) {
    for (; i < values - left_out; ++i) sum += value(i);
    store(left_out > 0 ? kind_without_last(left_out, distance) : distance, sum);
  }
  sum = 0;
  i = values - 1;
  for (int left_out = most; left_out > 0; --left_out) {
    for (; i >= left_out; --i) sum += value(i);
    store(kind_without_first(left_out, distance), sum);
  }
}

/// Sums over a matrix [width][width + 1]: of products for all kinds of pairs of columns, in either order, and of the
/// last column for the kinds of a column with itself, which need no second order.
inline constexpr int kColumnSums = 2 * kTapKinds;

/// What columns of taps jx and kx take, jx in the first row of the pair.
constexpr int column_sum_of_taps(int jx, int kx) {
  return jx <= kx ? kind_of_taps(jx, kx) : kTapKinds + kind_of_taps(kx, jx);
}

/// What column kx takes of sums.
constexpr int column_sum_of_tap(int kx) { return kTapKinds + kind_of_taps(kx, kx); }

/// A line of the entries of a matrix that are added up for column sums: a diagonal, or the last column.
struct MatrixLine {
  int distance, entries, start, step;
  int first_sum;  ///< number of the column sum of kind 0

  /// \param number  below kMatrixLines: distances forward, backward, and the last column.
  constexpr MatrixLine(int number, int width)
      : distance(number < kRowDistances ? number : number % kRowDistances + 1),
        entries(width - distance),
        start(number < kRowDistances ? distance : distance * (width + 1)),
        step(width + 2),
        first_sum(number < kRowDistances ? 0 : kTapKinds) {
    if (number < 2 * kRowDistances - 1) return;
    distance = 0;
    entries = width;
    start = width;
    step = width + 1;
  }
};
inline constexpr int kMatrixLines = 2 * kRowDistances;

}  // namespace unireplk::kernels::cuda
