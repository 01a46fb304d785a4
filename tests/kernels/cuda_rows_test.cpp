#include <cstdint>
#include <vector>

#include "support/catch.h"
#include "unireplk/kernels/cuda/row_plan.h"

namespace unireplk::kernels::cuda {
namespace {

/// How often the threads of all thread blocks visit each value of a map, each of which must lie inside.
std::vector<int> visits(const RowPlan& plan) {
  std::vector<int> counts(static_cast<size_t>(plan.images * plan.pixels * plan.channels));
  for (int64_t block = 0; block < plan.blocks(); ++block) {
    for (int piece = 0; piece < plan.pieces; ++piece) {
      for (int thread = 0; thread < kRowThreads; ++thread) {
        const auto walk = plan.walk(block, piece, thread);
        int64_t pixels = 0;
        for (int64_t pixel = walk.first; pixel < walk.last; pixel += plan.rows, ++pixels) {
          for (int i = 0; i < plan.vector; ++i) ++counts.at(static_cast<size_t>(plan.offset(walk, pixel) + i));
        }
        const bool is_idle = walk.first == walk.last;
        if (walk.channel < 0 || walk.channel + plan.vector > plan.channels) ++counts.at(0);  // coefficients are read
        if (!is_idle && pixels != plan.pixels_of_row(block, thread / plan.columns)) ++counts.at(0);
      }
    }
  }
  return counts;
}

TEST_CASE("row plans: every value of a map is visited once, by blocks that a launch may have", "[numeric]") {
  const auto [images, pixels, channels] = GENERATE(table<int64_t, int64_t, int64_t>({{1, 1, 1},
                                                                                     {1, 1, 8},
                                                                                     {2, 9, 6},
                                                                                     {3, 65, 20},
                                                                                     {1, 1, 2560},
                                                                                     {128, 4, 40},
                                                                                     {5, 49, 640},
                                                                                     {2, 784, 80},
                                                                                     {1, 3136, 16},
                                                                                     {3, 50, 1037},
                                                                                     {2, 7, 520},
                                                                                     {3000, 1, 8}}));
  for (const int vector : {1, kRowVector}) {
    if (channels % vector != 0) continue;
    CAPTURE(images, pixels, channels, vector);
    const RowPlan plan({images, pixels, channels}, vector);
    CHECK(plan.columns * plan.rows <= kRowThreads);
    CHECK(plan.columns * plan.vector * plan.pieces >= channels);
    CHECK(plan.pieces <= 65535);
    CHECK((plan.chunks - 1) * plan.chunk < pixels);
    CHECK(visits(plan) == std::vector<int>(static_cast<size_t>(images * pixels * channels), 1));
    for (int64_t block = 0; block < plan.blocks(); ++block) {
      int64_t all = 0;
      for (int row = 0; row < plan.rows; ++row) all += plan.pixels_of_row(block, row);
      REQUIRE(all == plan.last_pixel(block) - plan.first_pixel(block));
      REQUIRE(all > 0);
    }
  }
}

TEST_CASE("row plans: maps of networks fill a device", "[numeric]") {
  const auto [pixels, channels] = GENERATE(table<int64_t, int64_t>({{3136, 320}, {784, 640}, {196, 1280}, {49, 2560}}));
  const RowPlan plan({128, pixels, channels}, kRowVector);
  CHECK(plan.blocks() * plan.pieces >= kRowBlocks / 4);
  CHECK(plan.blocks() * plan.pieces <= 2 * kRowBlocks);
  CHECK(plan.chunk >= plan.rows);
}

}  // namespace
}  // namespace unireplk::kernels::cuda
