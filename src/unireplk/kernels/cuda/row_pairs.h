#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/line_pairs.h"

/// Second moments of the images of a channel by pairs of rows, and what of them two taps of a kernel of reach 6 meet.
/// Plain numbers, so that the host can check them.
///
/// For rows r <= s, P(r, s)[i, l] is the sum over images of x[r, i] x[s, l]. Taps j and k meet in
///   R[j, k] = sum over pixels p of x[p + j] x[p + k],   x being 0 outside,
/// where p + j runs over the rows r of the map for which p and p + k lie in it as well: of all pairs of rows k_y - j_y
/// apart, the first j_y are left out when j_y > 0, the last -k_y when k_y < 0, and never both, for j_y <= k_y. So a
/// few matrices do for all pairs of taps: for each distance of two rows the sum of P over all of them, and that sum
/// without the first or last few. Maps of few lines are cut at both ends and have a matrix for each pair of rows,
/// summed up from the first pair of its distance on. Columns are cut by sums along diagonals.
namespace unireplk::kernels::cuda {

inline constexpr int kEdgeRows = kPairReach;                      ///< that some pairs of taps leave out
inline constexpr int kRowDistances = kFarthest + 1;               ///< of rows r <= s
inline constexpr int kEdgePairs = ordered_pairs(kEdgeRows);       ///< r <= s of the rows of one edge
inline constexpr int kRowPairs = kRowDistances + 2 * kEdgePairs;  ///< matrices of a channel
inline constexpr int kImagesAtOnce = 16;                          ///< that a product of matrices adds up

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

/// Matrices of a channel.
constexpr int row_pairs(int height) { return has_few(height) ? ordered_pairs(height) : kRowPairs; }

constexpr int first_of_edge(bool is_bottom) { return kRowDistances + (is_bottom ? kEdgePairs : 0); }

/// Whether both rows of a pair lie in one edge.
constexpr bool is_edge_pair(int r, int s, int height) { return s < kEdgeRows || r >= height - kEdgeRows; }

/// The matrix that taps of rows jy <= ky meet in, once sums are without what lies before or behind them: number
/// distance for the sum over all rows; edge pair (r, s) of the top without rows 0 to r, of the bottom without rows from
/// s on.
constexpr int matrix_of_taps(int jy, int ky) {
  if (jy > 0) return first_of_edge(false) + edge_pair(jy - 1, ky - 1);
  if (ky < 0) return first_of_edge(true) + edge_pair(kEdgeRows + jy, kEdgeRows + ky);
  return ky - jy;
}

/// Lines i = first to last that tap j meets while j + distance meets i + distance. May be none.
struct LineRange {
  int first, last;

  constexpr LineRange(int j, int distance, int lines) : first(j > 0 ? j : 0), last(lines - 1) {
    if (first < -distance) first = -distance;
    if (j < 0) last = lines - 1 + j;
    if (last > lines - 1 - distance) last = lines - 1 - distance;
  }
};

inline constexpr int kNoMatrix = -1;

/// What taps of rows jy <= ky meet in is matrix `all` less matrix `before`; either may be none.
struct TapMatrices {
  int all = kNoMatrix, before = kNoMatrix;

  constexpr TapMatrices(int jy, int ky, int height) {
    if (!has_few(height)) {
      all = matrix_of_taps(jy, ky);
      return;
    }
    const int distance = ky - jy;
    const LineRange rows(jy, distance, height);
    if (rows.last < rows.first) return;
    all = ordered_pair(rows.last, rows.last + distance, height);
    if (rows.first > 0) before = ordered_pair(rows.first - 1, rows.first - 1 + distance, height);
  }
};

}  // namespace unireplk::kernels::cuda
