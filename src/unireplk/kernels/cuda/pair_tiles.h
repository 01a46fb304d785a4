#pragma once

/// How out[image][column i] = sum over l of x[image][column l] B[i][l], for two rows of a map, becomes products of
/// tensor cores (mma.m16n8k16, 16-bit operands): 16 images by 16 columns l times 16 columns l by 8 columns i. Plain
/// numbers, so that the host can check them.
namespace unireplk::kernels::cuda {

/// B, as lanes hold it: 16 bytes of each lane follow those of the lane before.
template <int kColumnTiles, int kDepthTiles>
struct PairMatrix {
  static constexpr int kColumns = 8 * kColumnTiles;              ///< i
  static constexpr int kDepth = 16 * kDepthTiles;                ///< l
  static constexpr int kWords = kColumnTiles * kDepthTiles * 2;  ///< of a lane, two values each
  static constexpr int kChunks = kWords / 4;                     ///< of a lane, 16 bytes each
  static constexpr int kValues = kColumns * kDepth;
  static_assert(kWords % 4 == 0);

  struct Entry {
    int i, l;
  };

  /// Of the two operands that a product of a tile of columns with a tile of l takes, the first; the second follows.
  static constexpr int word_of(int column_tile, int depth_tile) { return (column_tile * kDepthTiles + depth_tile) * 2; }

  /// What the low half of a word of a lane holds; the high half holds the next l.
  static constexpr Entry entry(int lane, int word) {
    const int tile = word / 2 / kDepthTiles, depth = word / 2 % kDepthTiles, n = lane / 4;
    return {first_column(n / 2) + 2 * tile + n % 2, 16 * depth + word % 2 * 8 + lane % 4 * 2};
  }

  /// Columns are dealt out to tiles so that the sums of one image that a lane holds, two of each tile, lie side by
  /// side: lanes with the same lane % 4 hold 2 kColumnTiles columns from this one on.
  static constexpr int first_column(int quarter) { return 2 * kColumnTiles * quarter; }
};

/// Rows of images in shared memory: [row][image][kDepthTiles * 16], 16 bytes moved about within each row so that eight
/// images' are read at once (ldmatrix) without bank conflicts.
template <int kDepthTiles, int kImages>
struct StagedRows {
  static constexpr int kPitch = 16 * kDepthTiles;
  static constexpr int kChunks = kPitch / 8;
  static constexpr int kRow = kImages * kPitch;  ///< values of a row of all images

  /// Place of 16 bytes of an image, within a row of all images, in values.
  static constexpr int place(int image, int chunk) {
    return image * kPitch + (chunk ^ image / (8 / kChunks) % kChunks) * 8;
  }

  /// Image and 16 bytes that a lane has fetched as its part of 16 images by 16 columns.
  static constexpr int fetched_image(int lane) { return lane / 8 % 2 * 8 + lane % 8; }
  static constexpr int fetched_chunk(int lane) { return lane / 16; }
};

/// Pairs of output rows in the order in which warps take them, the longest first: those in the middle.
constexpr int rows_in_order(int rank, int pairs) {
  return (pairs - 1) / 2 + (rank % 2 == 1 ? (rank + 1) / 2 : -(rank / 2));
}

/// The rank that a warp takes in a round: there and back, so that sums of lengths are alike. Not all are below the
/// number of pairs.
constexpr int rank_of(int warp, int round, int warps) {
  return round * warps + (round % 2 == 1 ? warps - 1 - warp : warp);
}

}  // namespace unireplk::kernels::cuda
