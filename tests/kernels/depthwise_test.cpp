#include "unireplk/kernels/depthwise.h"

#include "kernels/forced.h"
#include "kernels/maps.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/kernels/cpu/scalar.h"
#include "unireplk/kernels/instruction_set.h"
#include "unireplk/kernels/peak.h"

namespace unireplk::kernels {
namespace {

int64_t floats(const MapShape& map) { return map.images * map.height * map.width * map.channels; }

struct DepthwiseResults {
  std::vector<float> y, dx, dweight, dbias;
};

struct DepthwiseInputs {
  DepthwiseInputs(const MapShape& map_shape, const KernelShape& kernel_shape, Filling filling)
      : map(map_shape),
        kernel(kernel_shape),
        x(filled<double>(floats(map), filling, 1)),
        dy(filled<double>(floats(map), filling == Filling::kTiny ? Filling::kNormal : filling, 2)),  // no denormals
        weight(
            filled<double>(map.channels * kernel.taps(), filling == Filling::kOneHot ? filling : Filling::kNormal, 3)),
        bias(filled<double>(map.channels, Filling::kNormal, 4)) {}

  MapShape map;
  KernelShape kernel;
  std::vector<double> x, dy, weight, bias;
};

DepthwiseResults run(const DepthwiseInputs& in, const Parallel& parallel) {
  const auto x = narrow(in.x), dy = narrow(in.dy), weight = narrow(in.weight), bias = narrow(in.bias);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  DepthwiseResults out{.y = std::vector<float>(x.size(), nan),
                       .dx = std::vector<float>(x.size(), nan),
                       .dweight = std::vector<float>(weight.size(), nan),
                       .dbias = std::vector<float>(bias.size(), nan)};
  const auto space = [&] { return Space(depthwise_workspace(in.map, in.kernel, parallel.workers)); };
  depthwise_forward(in.map, in.kernel, x.data(), weight.data(), bias.data(), out.y.data(), space().span(), parallel);
  depthwise_backward_data(in.map, in.kernel, dy.data(), weight.data(), out.dx.data(), space().span(), parallel);
  depthwise_backward_weights(in.map, in.kernel, x.data(), dy.data(), out.dweight.data(), out.dbias.data(),
                             space().span(), parallel);
  return out;
}

void check_against_judge(const DepthwiseInputs& in) {
  CAPTURE(in.map.images, in.map.height, in.map.width, in.map.channels, in.kernel.size, in.kernel.dilation);
  const auto got = run(in, Parallel());
  std::vector<double> y(in.x.size()), dx(in.x.size()), dweight(in.weight.size()), dbias(in.bias.size());
  scalar::depthwise_forward(in.map, in.kernel, in.x.data(), in.weight.data(), in.bias.data(), y.data());
  scalar::depthwise_backward_data(in.map, in.kernel, in.dy.data(), in.weight.data(), dx.data());
  scalar::depthwise_backward_weights(in.map, in.kernel, in.x.data(), in.dy.data(), dweight.data(), dbias.data());
  CHECK(relative_error(got.y, y) <= test::kDepthwiseF32);
  CHECK(relative_error(got.dx, dx) <= test::kDepthwiseF32);
  CHECK(relative_error(got.dweight, dweight) <= test::kDepthwiseWeightsF32);
  CHECK(relative_error(got.dbias, dbias) <= test::kDepthwiseWeightsF32);
}

TEST_CASE("depthwise kernels: equal the judge for every size of map", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const int64_t kernel = GENERATE(3, 5, 7, 9, 11, 13, 15, 17, 31);
  const auto [height, width] = GENERATE(table<int64_t, int64_t>(
      {{1, 1},   {1, 2},   {2, 3},  {3, 5},  {5, 2},   {6, 6},  {7, 7},  {8, 8},  {9, 12}, {3, 13}, {14, 14},
       {15, 15}, {24, 16}, {2, 24}, {5, 27}, {28, 28}, {4, 29}, {3, 43}, {7, 48}, {2, 56}, {97, 3}, {3, 97}}));
  check_against_judge(DepthwiseInputs({2, height, width, 5}, {kernel, 1}, Filling::kNormal));
}

TEST_CASE("depthwise kernels: equal the judge for every dilation", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const auto [kernel, dilation] = GENERATE(
      table<int64_t, int64_t>({{5, 1}, {9, 2}, {7, 2}, {5, 2}, {3, 2}, {3, 3}, {3, 4}, {3, 5}, {3, 7}, {1, 4}}));
  const int64_t side = GENERATE(1, 4, 7, 14, 15, 28);
  check_against_judge(DepthwiseInputs({2, side, side, 3}, {kernel, dilation}, Filling::kNormal));
}

TEST_CASE("depthwise kernels: equal the judge for every number of channels and images", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const int64_t channels = GENERATE(1, 3, 8, 15, 16, 17, 40, 48, 80, 160);
  const int64_t images = GENERATE(1, 2, 3, 8);
  check_against_judge(DepthwiseInputs({images, 5, 7, channels}, {7, 1}, Filling::kNormal));
}

TEST_CASE("depthwise kernels: many images are summed in chunks", "[numeric]") {
  check_against_judge(DepthwiseInputs({131, 3, 3, 256}, {3, 1}, Filling::kNormal));
  check_against_judge(DepthwiseInputs({67, 3, 3, 1}, {3, 1}, Filling::kAroundTen));
}

TEST_CASE("depthwise kernels: equal the judge for hard values", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const auto filling = GENERATE(Filling::kAroundTen, Filling::kTiny, Filling::kOneHot);
  check_against_judge(DepthwiseInputs({2, 14, 14, 17}, {13, 1}, filling));
  check_against_judge(DepthwiseInputs({2, 9, 29, 3}, {13, 1}, filling));
}

TEST_CASE("depthwise kernels: each tap moves the map by its place", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const auto [size, dilation] =
      GENERATE(table<int64_t, int64_t>({{13, 1}, {5, 1}, {7, 2}, {3, 3}, {3, 4}, {3, 5}, {9, 2}, {3, 7}}));
  CAPTURE(size, dilation);
  const int64_t height = 9, width = 15;
  DepthwiseInputs in({1, height, width, 1}, {size, dilation}, Filling::kNormal);
  in.bias[0] = 0;
  for (int64_t tap = 0; tap < size * size; ++tap) {
    std::fill(in.weight.begin(), in.weight.end(), 0.0);
    in.weight[static_cast<size_t>(tap)] = 1;
    const auto y = run(in, Parallel()).y;
    const int64_t down = dilation * (tap / size - size / 2), right = dilation * (tap % size - size / 2);
    bool equal = true;
    for (int64_t p = 0; p < height * width; ++p) {
      const int64_t from_y = p / width + down, from_x = p % width + right;
      const bool inside = from_y >= 0 && from_y < height && from_x >= 0 && from_x < width;
      const double expected = inside ? in.x[static_cast<size_t>(from_y * width + from_x)] : 0;
      equal = equal && y[static_cast<size_t>(p)] == static_cast<float>(expected);
    }
    CAPTURE(tap);
    CHECK(equal);
  }
}

TEST_CASE("depthwise kernels: the same bits for any number of threads", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const int64_t channels = GENERATE(3, 40, 160);
  const DepthwiseInputs in({8, 14, 14, channels}, {13, 1}, Filling::kNormal);
  const auto one = run(in, Parallel());
  for (const int64_t workers : {2, 3}) {
    const auto several = run(in, threads(workers));
    CHECK(several.y == one.y);
    CHECK(several.dx == one.dx);
    CHECK(several.dweight == one.dweight);
    CHECK(several.dbias == one.dbias);
  }
}

TEST_CASE("depthwise kernels: maps without pixels, images or channels", "[numeric]") {
  const auto map = GENERATE(MapShape{0, 5, 5, 8}, MapShape{2, 0, 5, 8}, MapShape{2, 5, 0, 8}, MapShape{2, 5, 5, 0});
  const DepthwiseInputs in(map, {7, 1}, Filling::kNormal);
  const auto out = run(in, Parallel());
  CHECK(out.dweight == std::vector<float>(in.weight.size(), 0.0F));
  CHECK(out.dbias == std::vector<float>(in.bias.size(), 0.0F));
}

TEST_CASE("depthwise kernels: not-a-number in, not-a-number out", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  DepthwiseInputs in({1, 7, 7, 1}, {13, 1}, Filling::kNormal);
  in.x[24] = std::numeric_limits<double>::quiet_NaN();
  const auto out = run(in, Parallel());
  for (const float value : out.y) CHECK(std::isnan(value));  // the kernel covers the map from every pixel
}

TEST_CASE("depthwise loops: those of more taps take longer", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const int64_t side = GENERATE(7, 28, 97);
  const MapShape map{.images = 2, .height = side, .width = side, .channels = 16};
  const auto small = measure_depthwise_loops(map, {.size = 3, .dilation = 3});
  const auto large = measure_depthwise_loops(map, {.size = 13, .dilation = 1});
  CHECK(small.convolution > 0);
  CHECK(small.gradient > 0);
  CHECK(large.convolution > small.convolution);
  CHECK(large.gradient > small.gradient);
}

TEST_CASE("instruction sets: the best first, and no other can be forced", "[numeric]") {
  const auto sets = instruction_sets();
  REQUIRE_FALSE(sets.empty());
  CHECK(sets.back() == "baseline");
  CHECK_THROWS_WITH(force_instruction_set("MMX"), Catch::Matchers::Contains("got \"MMX\"") &&
                                                      Catch::Matchers::Contains("Choose from: " + sets.front()));
}

}  // namespace
}  // namespace unireplk::kernels
