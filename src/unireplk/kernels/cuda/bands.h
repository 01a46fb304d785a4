#pragma once

/// How the convolution of a plane becomes products of small matrices, as tensor cores take them (mma.m16n8k16, 16-bit
/// operands). Plain numbers, so that the host can check them.
///
/// A tile of the result is 16 output columns by 8 output rows. For one row ky of the kernel it gains W X, where
/// W[output column][input column] is the band of that row's taps, and X[input column][output row] the plane, moved by
/// ky. Input columns come in bands of 16 as output columns do: a band meets itself, and of its neighbour one corner of
/// 8 by 8 alone, since no kernel reaches further than 8. Source: kernel specification, section 6.3.
namespace unireplk::kernels::cuda {

inline constexpr int kBand = 16;        ///< columns of a tile
inline constexpr int kTileRows = 8;     ///< rows of a tile
inline constexpr int kWidestReach = 8;  ///< of a kernel, from the middle to the outermost tap

/// Of a row of taps 0, ..., 2 reach (others are 0), the first of the two neighbours that a lane holds where a band
/// meets itself: entries (row lane / 4, columns 2 (lane % 4) and one more) of W. Those 8 rows below hold the taps 8
/// lower, those 8 columns on the taps 8 higher, and so do the corners of neighbouring bands.
constexpr int first_tap(int lane, int reach) { return 2 * (lane % 4) - lane / 4 + reach; }

struct Place {
  int row, column;
};

/// Of the value in accumulator `i` (0 to 3) of a lane, within its tile.
constexpr Place place_of_sum(int lane, int i) { return {2 * (lane % 4) + i % 2, lane / 4 + 8 * (i / 2)}; }

/// A plane in shared memory: `size - 1` rows of zeros around it, half of them above, rows of zeros at the end of each
/// row. The pitch lets eight rows be read at once without bank conflicts.
template <int kSize, int kBands, int kTiles>
struct BandedPlane {
  static constexpr int kReach = kSize / 2;
  static constexpr int kPitch = kBand * kBands + 8;
  static constexpr int kRows =
      kTileRows * kTiles + kSize;  ///< one more than are used: one band is read two rows at a time
  static constexpr int kValues = kRows * kPitch;
  static constexpr int kStarts = kTileRows * (kTiles - 1) + kSize;  ///< first rows from which tiles are read

  /// Row of the kernel that tile `tile` of the result takes what is read from row `start` with; outside it: none.
  static constexpr int kernel_row(int start, int tile) { return start - kTileRows * tile; }

  /// From where a lane has eight values fetched (ldmatrix), from row `start` of the plane on. Two bands: their 32
  /// columns of eight rows. One band: its 16 columns of eight rows, and those of the eight rows that begin a row later.
  static constexpr Place fetched(int lane) {
    if (kBands == 2) return {lane % 8, lane / 8 * 8};
    return {lane % 8 + lane / 16, lane / 8 % 2 * 8};
  }
};

}  // namespace unireplk::kernels::cuda
