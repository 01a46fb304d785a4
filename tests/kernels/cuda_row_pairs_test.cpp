#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include "support/catch.h"
#include "unireplk/kernels/cuda/row_pairs.h"

namespace unireplk::kernels::cuda {
namespace {

struct Image {
  int height, width;
  std::vector<int64_t> values;

  int64_t at(int y, int x) const {
    return y < 0 || y >= height || x < 0 || x >= width ? 0 : values[static_cast<size_t>(y * width + x)];
  }
};

Image random_image(int height, int width) {
  std::mt19937 bits(5);
  Image image{height, width, std::vector<int64_t>(static_cast<size_t>(height * width))};
  for (auto& value : image.values) value = static_cast<int64_t>(bits() % 19) - 9;
  return image;
}

/// The matrix that taps of rows jy <= ky meet in, at one entry, from what row_pairs.h says of its number.
int64_t entry_of(const Image& x, int matrix, int i, int l) {
  const auto sum = [&](int distance, int first, int last) {
    int64_t total = 0;
    for (int r = first; r <= last; ++r) total += x.at(r, i) * x.at(r + distance, l);
    return total;
  };
  if (matrix == kNoMatrix) return 0;
  if (has_few(x.height)) {
    for (int r = 0; r < x.height; ++r) {
      for (int s = r; s < x.height; ++s) {
        if (matrix == ordered_pair(r, s, x.height)) return sum(s - r, 0, r);
      }
    }
  } else if (matrix < kRowDistances) {
    return sum(matrix, 0, x.height - 1 - matrix);
  }
  for (const bool is_bottom : {false, true}) {
    for (int r = 0; r < kEdgeRows; ++r) {
      for (int s = r; s < kEdgeRows; ++s) {
        if (matrix != first_of_edge(is_bottom) + edge_pair(r, s)) continue;
        const int distance = s - r, bottom = x.height - kEdgeRows;
        return is_bottom ? sum(distance, 0, bottom + r - 1) : sum(distance, r + 1, x.height - 1 - distance);
      }
    }
  }
  FAIL("no such matrix");
  return 0;
}

int64_t product_of_taps(const Image& x, int jy, int jx, int ky, int kx) {
  const int distance = kx - jx;
  const LineRange range(jx, distance, x.width);
  int64_t total = 0;
  const TapMatrices rows(jy, ky, x.height);
  for (int i = range.first; i <= range.last; ++i) {
    total += entry_of(x, rows.all, i, i + distance) - entry_of(x, rows.before, i, i + distance);
  }
  return total;
}

int64_t product_by_definition(const Image& x, int jy, int jx, int ky, int kx) {
  int64_t total = 0;
  for (int y = 0; y < x.height; ++y) {
    for (int i = 0; i < x.width; ++i) total += x.at(y + jy, i + jx) * x.at(y + ky, i + kx);
  }
  return total;
}

TEST_CASE("row pairs: matrices and columns of two taps are those that both meet") {
  const auto [height, width] =
      GENERATE(table<int, int>({{12, 12}, {14, 14}, {13, 31}, {28, 17}, {7, 7}, {9, 8}, {3, 9}, {1, 1}}));
  const auto image = random_image(height, width);
  int wrong = 0;
  for (int jy = -kPairReach; jy <= kPairReach; ++jy) {
    for (int ky = jy; ky <= kPairReach; ++ky) {
      for (const int jx : {-6, -3, 0, 1, 6}) {
        for (const int kx : {-6, -1, 0, 2, 6}) {
          wrong += product_of_taps(image, jy, jx, ky, kx) != product_by_definition(image, jy, jx, ky, kx);
        }
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("row pairs: each pair of an edge has a matrix of its own") {
  std::set<int> matrices;
  for (int distance = 0; distance < kRowDistances; ++distance) matrices.insert(distance);
  for (const bool is_bottom : {false, true}) {
    for (int r = 0; r < kEdgeRows; ++r) {
      for (int s = r; s < kEdgeRows; ++s) matrices.insert(first_of_edge(is_bottom) + edge_pair(r, s));
    }
  }
  CHECK(matrices.size() == static_cast<size_t>(kRowPairs));
  CHECK(*matrices.begin() == 0);
  CHECK(*matrices.rbegin() == kRowPairs - 1);
}

TEST_CASE("row pairs: a pair of rows is in one edge, or in none") {
  for (int height = kFewestLines; height <= kMostLines; ++height) {
    int in_edges = 0;
    for (int r = 0; r < height; ++r) {
      for (int s = r; s < height && s - r < kRowDistances; ++s) in_edges += is_edge_pair(r, s, height);
    }
    CHECK(in_edges == 2 * kEdgePairs);
  }
}

TEST_CASE("row planes: whole sets of images, and a column for ones") {
  const RowPlanes narrow(17, 14, 15), wide(16, 28, 16);
  CHECK(narrow.images == 32);
  CHECK(narrow.pitch == 16);
  CHECK(narrow.channel() == 32 * 14 * 16);
  CHECK(wide.images == 16);
  CHECK(wide.pitch == 32);
  CHECK(wide.matrix() == 16 * 17);
}

}  // namespace
}  // namespace unireplk::kernels::cuda
