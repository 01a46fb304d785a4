#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "support/catch.h"
#include "unireplk/kernels/cuda/bands.h"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kLanesOfWarp = 32;
constexpr int kNone = 1000;  // in place of the offset of a tap: zeros

/// What the tensor cores' instruction mma.m16n8k16 (or, of 8 columns, m16n8k8) does with the registers of a warp, as
/// the PTX ISA lays them out: A [16, 16] in pairs along its rows, B [16, 8] in pairs along its columns, sums [16, 8].
struct Warp {
  using Pair = std::array<double, 2>;
  std::array<std::array<Pair, 4>, kLanesOfWarp> a{};
  std::array<std::array<Pair, 2>, kLanesOfWarp> b{};
  std::array<std::array<double, 4>, kLanesOfWarp> sums{};

  double a_at(int row, int column) const {
    return a[row % 8 * 4 + column % 8 / 2][row / 8 + column / 8 * 2][column % 2];
  }
  double b_at(int row, int column) const { return b[column * 4 + row % 8 / 2][row / 8][row % 2]; }
  void multiply(int depth) {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 8; ++column) {
        double sum = 0;
        for (int k = 0; k < depth; ++k) sum += a_at(row, k) * b_at(k, column);
        sums[row % 8 * 4 + column / 2][row / 8 * 2 + column % 2] += sum;
      }
    }
  }
};

struct Plane {
  int height, width;
  std::vector<double> values;

  double at(int y, int x) const {
    return y < 0 || y >= height || x < 0 || x >= width ? 0 : values[static_cast<size_t>(y * width + x)];
  }
};

Plane random_plane(int height, int width, unsigned seed) {
  std::mt19937 bits(seed);
  Plane plane{height, width, std::vector<double>(static_cast<size_t>(height * width))};
  for (auto& value : plane.values) value = static_cast<int>(bits() % 19) - 9;
  return plane;
}

/// What a warp computes of a plane, as the kernel walks over it.
template <int kSize, int kBands, int kTiles>
Plane convolve_bands(const Plane& x, const Plane& kernel) {
  using Shape = BandedPlane<kSize, kBands, kTiles>;
  std::vector<double> shared(Shape::kValues, 0);
  for (int y = 0; y < x.height; ++y) {
    for (int i = 0; i < x.width; ++i) shared.at((y + Shape::kReach) * Shape::kPitch + i) = x.at(y, i);
  }
  const auto pair = [&](int lane, int ky, int offset) {
    const int tap = first_tap(lane, Shape::kReach) + offset;
    return Warp::Pair{kernel.at(ky, tap), kernel.at(ky, tap + 1)};
  };
  std::array<std::array<Warp, kTiles>, kBands> warps;
  for (int start = 0; start < Shape::kStarts; start += kBands == 2 ? 1 : 2) {
    std::array<std::array<Warp::Pair, 4>, kLanesOfWarp> fetched;
    for (int lane = 0; lane < kLanesOfWarp; ++lane) {  // ldmatrix: rows come from lanes 8 i, ..., to lane 4 row + pair
      for (int matrix = 0; matrix < 4; ++matrix) {
        const Place from = Shape::fetched(8 * matrix + lane / 4);
        const int at = (start + from.row) * Shape::kPitch + from.column + lane % 4 * 2;
        fetched[lane][matrix] = {shared.at(at), shared.at(at + 1)};
      }
    }
    const auto multiply = [&](Warp& warp, int ky, std::array<int, 4> offsets, std::array<int, 2> b, int depth) {
      for (int lane = 0; lane < kLanesOfWarp; ++lane) {
        for (int i = 0; i < 4; ++i) {
          warp.a[lane][i] = offsets[i] == kNone ? Warp::Pair{0, 0} : pair(lane, ky, offsets[i]);
        }
        warp.b[lane] = {fetched[lane][b[0]], fetched[lane][b[1]]};
      }
      warp.multiply(depth);
    };
    for (int tile = 0; tile < kTiles; ++tile) {
      if constexpr (kBands == 2) {
        const int ky = Shape::kernel_row(start, tile);
        if (ky < 0 || ky >= kSize) continue;
        multiply(warps[0][tile], ky, {0, -8, 8, 0}, {0, 1}, 16);
        multiply(warps[1][tile], ky, {0, -8, 8, 0}, {2, 3}, 16);
        multiply(warps[0][tile], ky, {kNone, 8, kNone, kNone}, {2, 2}, 8);
        multiply(warps[1][tile], ky, {-8, kNone, kNone, kNone}, {1, 1}, 8);
      } else {
        for (int second = 0; second < 2; ++second) {
          const int ky = Shape::kernel_row(start + second, tile);
          if (ky >= 0 && ky < kSize) multiply(warps[0][tile], ky, {0, -8, 8, 0}, {2 * second, 2 * second + 1}, 16);
        }
      }
    }
  }
  Plane y{x.height, x.width, std::vector<double>(x.values.size())};
  for (int band = 0; band < kBands; ++band) {
    for (int tile = 0; tile < kTiles; ++tile) {
      for (int lane = 0; lane < kLanesOfWarp; ++lane) {
        for (int i = 0; i < 4; ++i) {
          const Place in_tile = place_of_sum(lane, i);
          const int column = kBand * band + in_tile.column, row = kTileRows * tile + in_tile.row;
          if (column < x.width && row < x.height) {
            y.values[static_cast<size_t>(row * x.width + column)] = warps[band][tile].sums[lane][i];
          }
        }
      }
    }
  }
  return y;
}

Plane convolve(const Plane& x, const Plane& kernel) {
  Plane y{x.height, x.width, std::vector<double>(x.values.size())};
  const int reach = kernel.width / 2;
  for (int row = 0; row < x.height; ++row) {
    for (int column = 0; column < x.width; ++column) {
      double sum = 0;
      for (int ky = 0; ky < kernel.height; ++ky) {
        for (int kx = 0; kx < kernel.width; ++kx)
          sum += kernel.at(ky, kx) * x.at(row + ky - reach, column + kx - reach);
      }
      y.values[static_cast<size_t>(row * x.width + column)] = sum;
    }
  }
  return y;
}

template <int kSize>
void check_bands() {
  const auto kernel = random_plane(kSize, kSize, kSize);
  for (const auto& [height, width] : {std::pair{28, 28}, {32, 32}, {25, 17}, {27, 31}, {20, 9}, {1, 32}}) {
    const auto x = random_plane(height, width, 1);
    CHECK(convolve_bands<kSize, 2, 4>(x, kernel).values == convolve(x, kernel).values);
  }
  for (const auto& [height, width] : {std::pair{14, 14}, {16, 16}, {9, 7}, {7, 13}, {1, 1}, {16, 3}}) {
    const auto x = random_plane(height, width, 2);
    CHECK(convolve_bands<kSize, 1, 2>(x, kernel).values == convolve(x, kernel).values);
  }
}

TEST_CASE("bands: products of a warp's fragments come to the convolution", "[numeric]") {
  check_bands<13>();
  check_bands<17>();  // the widest that the corners of neighbouring bands reach
}

}  // namespace
}  // namespace unireplk::kernels::cuda
