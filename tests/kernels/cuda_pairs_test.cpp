#include <algorithm>
#include <set>
#include <utility>

#include "support/catch.h"
#include "unireplk/kernels/cuda/line_pairs.h"
#include "unireplk/kernels/cuda/pair_tiles.h"

namespace unireplk::kernels::cuda {
namespace {

using TapPair = std::pair<int, int>;  // of a line and the other, 0 to 12

/// Tap pairs of two lines, over the lines p of the map that both reach.
std::set<TapPair> taps_between(int line, int other, int lines) {
  std::set<TapPair> taps;
  for (int p = 0; p < lines; ++p) {
    const int a = line - p + kPairReach, b = other - p + kPairReach;
    if (a >= 0 && a < kPairTaps && b >= 0 && b < kPairTaps) taps.emplace(a, b);
  }
  return taps;
}

/// What the place of a kind among those of a distance, 0 or more, says.
std::set<TapPair> taps_of_kind(int distance, int place) {
  const int all = tap_pairs(distance), border = border_pairs(distance);
  const bool is_last = place > border, is_first = place > 0 && !is_last;
  const int first = is_last ? all - (kPairReach + place - border) : 0;
  const int last = is_first ? kPairReach + place : all;
  std::set<TapPair> taps;
  for (int i = first; i < last; ++i) taps.emplace(i, i + distance);
  return taps;
}

TEST_CASE("line pairs: a kind says which taps meet, for all sizes of maps", "[numeric]") {
  for (int lines = kFewestLines; lines < 32; ++lines) {
    for (int line = 0; line < lines; ++line) {
      for (int other = line; other < lines; ++other) {
        const int kind = kind_of(line, other, lines), distance = other - line;
        const auto taps = taps_between(line, other, lines);
        REQUIRE((kind == kNoKind) == taps.empty());
        if (kind == kNoKind) continue;
        const int place = kind - first_kind(distance);
        REQUIRE((place >= 0 && place < kinds_of(distance)));
        REQUIRE(taps_of_kind(distance, place) == taps);
        REQUIRE(is_inside(line, other, lines) == (taps.size() == static_cast<size_t>(tap_pairs(distance))));
        if (is_inside(line, other, lines)) REQUIRE(kind == inside_kind(distance));
        if (distance == 0) REQUIRE(own_kind(line, lines) == place);
      }
    }
  }
}

TEST_CASE("line pairs: of few lines each pair is a kind of its own, of the taps that meet", "[numeric]") {
  for (int lines = 1; lines <= kMostFewLines; ++lines) {
    std::set<int> kinds, ordered;
    for (int line = 0; line < lines; ++line) {
      CHECK(own_kind(line, lines) == line);
      for (int other = 0; other < lines; ++other) {
        kinds.insert(kind_of(line, other, lines));
        CHECK_FALSE(is_inside(line, other, lines));
        if (other < line) continue;
        ordered.insert(ordered_pair(line, other, lines));
        const int distance = other - line;
        const TapPairs range(line, distance, lines);
        std::set<TapPair> taps;
        for (int i = range.first; i <= range.last; ++i) taps.emplace(i, i + distance);
        CHECK(taps == taps_between(line, other, lines));
      }
    }
    CHECK(kinds.size() == static_cast<size_t>(lines * lines));
    CHECK(*kinds.rbegin() < kKinds);
    CHECK(ordered.size() == static_cast<size_t>(ordered_pairs(lines)));
    CHECK(*ordered.rbegin() < kKindsAhead);
  }
}

TEST_CASE("line pairs: a kind and its opposite are those of the same lines", "[numeric]") {
  for (int lines = kFewestLines; lines < 32; ++lines) {
    for (int line = 0; line < lines; ++line) {
      for (int other = line + 1; other < lines; ++other) {
        const int kind = kind_of(line, other, lines), back = kind_of(other, line, lines);
        REQUIRE(back == (kind == kNoKind ? kNoKind : opposite_kind(kind)));
        if (kind != kNoKind && is_inside(line, other, lines)) REQUIRE(back == inside_kind(line - other));
      }
    }
  }
}

TEST_CASE("line pairs: kinds of the distances follow each other", "[numeric]") {
  int next = kKinds - kKindsAhead;
  for (int distance = 0; distance <= kFarthest; ++distance) {
    CHECK(first_kind(distance) == next);
    next += kinds_of(distance);
  }
  CHECK(next == kKinds);
  CHECK(opposite_kind(first_kind(1)) == kKinds - kKindsAhead - 1);  // those of a line with itself have no opposite
  CHECK(opposite_kind(kKinds - 1) == 0);
}

/// Against the fragments of mma.m16n8k16: lane 4 n + k holds rows 2 k, 2 k + 1 (and those 8 on) of column n of the
/// second operand, and sums of columns 2 k, 2 k + 1.
template <int kColumnTiles, int kDepthTiles>
void check_matrix() {
  using Matrix = PairMatrix<kColumnTiles, kDepthTiles>;
  std::set<TapPair> entries;
  for (int tile = 0; tile < kColumnTiles; ++tile) {
    for (int depth = 0; depth < kDepthTiles; ++depth) {
      for (int lane = 0; lane < 32; ++lane) {
        const int n = lane / 4;  // the column of the product; lane n / 2 of every four holds its sum
        for (int half = 0; half < 2; ++half) {
          const auto at = Matrix::entry(lane, Matrix::word_of(tile, depth) + half);
          CHECK(at.l == 16 * depth + 8 * half + 2 * (lane % 4));
          CHECK(at.i == Matrix::first_column(n / 2) + 2 * tile + n % 2);
          entries.emplace(at.i, at.l);
        }
      }
    }
  }
  CHECK(entries.size() == static_cast<size_t>(Matrix::kValues / 2));
  CHECK(entries.rbegin()->first == Matrix::kColumns - 1);
}

TEST_CASE("pair tiles: every entry of a matrix has its place in a lane", "[numeric]") {
  check_matrix<2, 1>();
  check_matrix<3, 2>();
  check_matrix<4, 2>();
}

template <int kDepthTiles, int kImages>
void check_rows() {
  using Rows = StagedRows<kDepthTiles, kImages>;
  std::set<int> places;
  for (int image = 0; image < kImages; ++image) {
    for (int chunk = 0; chunk < Rows::kChunks; ++chunk) places.insert(Rows::place(image, chunk));
  }
  CHECK(places.size() == static_cast<size_t>(kImages * Rows::kChunks));
  CHECK(*places.rbegin() == Rows::kRow - 8);
  for (int depth = 0; depth < kDepthTiles; ++depth) {
    for (int image = 0; image < kImages; image += 16) {
      for (int matrix = 0; matrix < 4; ++matrix) {  // in the order of the operand: images, then columns
        std::set<int> banks;
        for (int row = 0; row < 8; ++row) {
          const int lane = 8 * matrix + row;
          CHECK(Rows::fetched_image(lane) == matrix % 2 * 8 + row);
          CHECK(Rows::fetched_chunk(lane) == matrix / 2);
          const int chunk = 2 * depth + Rows::fetched_chunk(lane);
          banks.insert(Rows::place(image + Rows::fetched_image(lane), chunk) / 8 % 8);
          CHECK(Rows::place(image + Rows::fetched_image(lane), chunk) ==
                Rows::place(Rows::fetched_image(lane), chunk) + image * Rows::kPitch);
        }
        CHECK(banks.size() == 8);  // 16 bytes each: no conflict
      }
    }
  }
}

TEST_CASE("pair tiles: rows of images lie apart and are fetched without bank conflicts", "[numeric]") {
  check_rows<1, 64>();
  check_rows<2, 32>();
}

TEST_CASE("pair tiles: warps take each pair of rows once", "[numeric]") {
  constexpr int kWarpsOfBlock = 8;
  for (int pairs = 1; pairs <= 16; ++pairs) {
    std::multiset<int> taken;
    for (int round = 0; round * kWarpsOfBlock < pairs; ++round) {
      for (int warp = 0; warp < kWarpsOfBlock; ++warp) {
        const int rank = rank_of(warp, round, kWarpsOfBlock);
        if (rank < pairs) taken.insert(rows_in_order(rank, pairs));
      }
    }
    CHECK(taken.size() == static_cast<size_t>(pairs));
    CHECK(*taken.begin() == 0);
    CHECK(*taken.rbegin() == pairs - 1);
    CHECK(std::set<int>(taken.begin(), taken.end()).size() == taken.size());
  }
}

}  // namespace
}  // namespace unireplk::kernels::cuda
