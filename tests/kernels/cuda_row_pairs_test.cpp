#include <algorithm>
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

/// Pairs of rows of an image whose products a matrix holds.
std::vector<int> first_rows_of(int matrix, int distance, int height) {
  std::vector<int> rows;
  for (int r = 0; r + distance < height; ++r) {
    const int s = r + distance, bottom = height - kEdgeRows;
    int of_pair = distance;
    if (has_few(height)) {
      of_pair = ordered_pair(r, s, height);
    } else if (is_edge_pair(r, s, height)) {
      of_pair =
          r < bottom ? first_of_edge(false) + edge_pair(r, s) : first_of_edge(true) + edge_pair(r - bottom, s - bottom);
    }
    if (of_pair == matrix) rows.push_back(r);
  }
  return rows;
}

/// What taps of rows and columns meet in: of an image, as the kernels go about it.
class Sums {
 public:
  explicit Sums(const Image& x) : kinds_(static_cast<size_t>(kTapKinds * kColumnSums), kUnset) {
    for (int distance = 0; distance < kRowDistances; ++distance) {
      std::vector<std::vector<int64_t>> of_matrices;
      for (int i = 0; i < matrices_of(distance, x.height); ++i) {
        of_matrices.push_back(column_sums(x, matrix_of(distance, i, x.height), distance));
      }
      for (int column = 0; column < kColumnSums; ++column) {
        add_up_kinds<int64_t>(
            distance, matrices_of(distance, x.height), [&](int i) { return of_matrices[i][column]; },
            [&](int kind, int64_t sum) { kinds_[static_cast<size_t>(kind * kColumnSums + column)] = sum; });
      }
    }
  }

  bool are_complete() const { return std::ranges::count(kinds_, kUnset) == 0; }

  int64_t product_of_taps(int jy, int jx, int ky, int kx) const {
    return at(kind_of_taps(jy, ky), column_sum_of_taps(jx, kx));
  }
  int64_t sum_at_tap(int ky, int kx) const { return at(kind_of_taps(ky, ky), column_sum_of_tap(kx)); }

 private:
  static constexpr int64_t kUnset = INT64_MIN;

  int64_t at(int kind, int column_sum) const { return kinds_[static_cast<size_t>(kind * kColumnSums + column_sum)]; }

  static std::vector<int64_t> column_sums(const Image& x, int matrix, int distance) {
    const int width = x.width;
    std::vector<int64_t> entries(static_cast<size_t>(width * (width + 1)));
    for (const int r : first_rows_of(matrix, distance, x.height)) {
      for (int i = 0; i < width; ++i) {
        for (int l = 0; l <= width; ++l) {
          entries[static_cast<size_t>(i * (width + 1) + l)] += x.at(r, i) * (l < width ? x.at(r + distance, l) : 1);
        }
      }
    }
    std::vector<int64_t> sums(static_cast<size_t>(kColumnSums), kUnset);
    for (int number = 0; number < kMatrixLines; ++number) {
      const MatrixLine line(number, width);
      add_up_kinds<int64_t>(
          line.distance, line.entries,
          [&](int i) { return entries.at(static_cast<size_t>(line.start + i * line.step)); },
          [&](int kind, int64_t sum) { sums[static_cast<size_t>(line.first_sum + kind)] = sum; });
    }
    return sums;
  }

  std::vector<int64_t> kinds_;
};

int64_t product_by_definition(const Image& x, int jy, int jx, int ky, int kx) {
  int64_t total = 0;
  for (int y = 0; y < x.height; ++y) {
    for (int i = 0; i < x.width; ++i) total += x.at(y + jy, i + jx) * x.at(y + ky, i + kx);
  }
  return total;
}

int64_t sum_by_definition(const Image& x, int ky, int kx) {
  int64_t total = 0;
  for (int y = 0; y < x.height; ++y) {
    for (int i = 0; i < x.width; ++i) total += x.at(y + ky, i + kx);
  }
  return total;
}

TEST_CASE("row pairs: rows and columns of two taps are those that both meet") {
  const auto [height, width] =
      GENERATE(table<int, int>({{12, 12}, {14, 14}, {13, 31}, {28, 17}, {7, 7}, {9, 8}, {3, 9}, {1, 1}}));
  const auto image = random_image(height, width);
  const Sums sums(image);
  CHECK(sums.are_complete());
  int wrong = 0;
  for (int ky = -kPairReach; ky <= kPairReach; ++ky) {
    for (int kx = -kPairReach; kx <= kPairReach; ++kx) {
      for (int jy = -kPairReach; jy <= ky; ++jy) {
        for (int jx = -kPairReach; jx <= kPairReach; ++jx) {
          wrong += sums.product_of_taps(jy, jx, ky, kx) != product_by_definition(image, jy, jx, ky, kx);
        }
      }
      wrong += sums.sum_at_tap(ky, kx) != sum_by_definition(image, ky, kx);
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
  CHECK(matrices.size() == static_cast<size_t>(kMostRowPairs));
  CHECK(*matrices.begin() == 0);
  CHECK(*matrices.rbegin() == kMostRowPairs - 1);
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
