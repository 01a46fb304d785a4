#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "ops/against_parts.h"
#include "ops/gpu.h"
#include "ops/random_block.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/ops/depthwise_conv2d.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

using Catch::Matchers::Contains;

/// y, dx, dweight, dbias.
using Gradients = std::vector<at::Tensor>;

/// \param convolve  x, weight, bias -> y
template <class Convolve>
Gradients gradients_of(const at::Tensor& x_values, const at::Tensor& weight_values, const at::Tensor& bias_values,
                       const at::Tensor& dy, Convolve convolve) {
  const auto leaf = [](const at::Tensor& values) { return values.detach().clone().requires_grad_(); };
  const auto x = leaf(x_values), weight = leaf(weight_values), bias = leaf(bias_values);
  const auto y = convolve(x, weight, bias);
  y.backward(dy.to(y.scalar_type()));
  return {y.detach(), x.grad(), weight.grad(), bias.grad()};
}

void check_depthwise(at::IntArrayRef shape, int64_t size, int64_t dilation, at::ScalarType dtype) {
  CAPTURE(shape, size, dilation, dtype);
  const int64_t channels = shape[1], padding = dilation * (size / 2);
  const auto x = gpu_map(shape, 1, dtype), dy = gpu_map(shape, 2, dtype);
  const auto weight = at::randn({channels, 1, size, size}, x.options().dtype(at::kFloat)) / size;
  const auto bias = at::randn({channels}, weight.options());
  REQUIRE(has_depthwise_kernel(x, weight, dilation));
  const auto convolve_in = [&](at::ScalarType type) {
    return [=](const at::Tensor& map, const at::Tensor& w, const at::Tensor& b) {
      return at::conv2d(map.to(type), w.to(type), b.to(type), {1, 1}, {padding, padding}, {dilation, dilation},
                        channels);
    };
  };
  const auto exact =
      gradients_of(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble), dy, convolve_in(at::kDouble));
  const auto run_ours = [&] {
    return gradients_of(x, weight, bias, dy, [&](const at::Tensor& map, const at::Tensor& w, const at::Tensor& b) {
      return depthwise_conv2d(map, w, b, dilation);
    });
  };
  const auto ours = run_ours(), again = run_ours();
  CHECK(ours[0].scalar_type() == dtype);
  CHECK(ours[0].is_contiguous(at::MemoryFormat::ChannelsLast));
  Gradients theirs = exact;
  if (dtype != at::kFloat) theirs = gradients_of(x, weight, bias, dy, convolve_in(dtype));
  for (size_t i = 0; i < ours.size(); ++i) {
    CAPTURE(i);
    CHECK(ours[i].equal(again[i]));
    const double limit =
        dtype == at::kFloat ? test::kDepthwiseWeightsF32 : kAgainstUnfused * error_of(theirs[i], exact[i]);
    CHECK(error_of(ours[i], exact[i]) <= std::max(limit, test::kDepthwiseWeightsF32));
  }
}

TEST_CASE("depthwise_conv2d: on a GPU, maps that kernels are made for", "[cuda][sanitize]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto [images, channels, height, width] = GENERATE(table<int64_t, int64_t, int64_t, int64_t>(
      {{3, 40, 28, 28}, {5, 40, 14, 14}, {9, 40, 7, 7}, {70, 8, 14, 14}, {2, 33, 28, 28}, {3, 17, 14, 14}}));
  check_depthwise({images, channels, height, width}, 13, 1, dtype);
}

TEST_CASE("depthwise_conv2d: on a GPU, any map", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const auto [images, channels, height, width] =
      GENERATE(table<int64_t, int64_t, int64_t, int64_t>({{1, 8, 1, 1},
                                                          {2, 16, 2, 3},
                                                          {2, 8, 27, 29},
                                                          {1, 24, 16, 17},
                                                          {3, 5, 12, 13},
                                                          {1, 16, 32, 32},
                                                          {1, 8, 33, 9},
                                                          {2, 3, 56, 48},
                                                          {1, 1, 9, 97},
                                                          {2, 48, 6, 6},
                                                          {1, 160, 24, 24}}));
  check_depthwise({images, channels, height, width}, 13, 1, dtype);
}

TEST_CASE("depthwise_conv2d: on a GPU, any kernel", "[cuda][sanitize]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kFloat, at::kHalf);
  const auto [size, dilation] = GENERATE(table<int64_t, int64_t>({{7, 1}, {9, 2}, {11, 1}, {17, 1}, {31, 1}, {13, 3}}));
  check_depthwise({2, 17, 11, 14}, size, dilation, dtype);
}

TEST_CASE("depthwise_conv2d: on a GPU, no images, strides, autocast and not-a-number", "[cuda]") {
  if (is_skipped()) return;
  const auto weight = at::randn({8, 1, 13, 13}, at::TensorOptions().device(at::kCUDA)).requires_grad_();
  const auto none = depthwise_conv2d(at::zeros({0, 8, 14, 14}, weight.options().requires_grad(false)), weight, {}, 1);
  none.sum().backward();
  CHECK(none.size(0) == 0);
  CHECK(weight.grad().eq(0).all().item<bool>());

  const at::NoGradGuard no_graph;
  const auto wide = gpu_map({2, 16, 14, 28}, 1);
  const auto slice = wide.slice(1, 3, 11).slice(3, 0, 28, 2);
  const auto expected = depthwise_conv2d(slice.contiguous(at::MemoryFormat::ChannelsLast), weight, {}, 1);
  CHECK(depthwise_conv2d(slice, weight, {}, 1).equal(expected));
  CHECK(depthwise_conv2d(slice.contiguous(), weight, {}, 1).equal(expected));
  {
    const AutocastGuard guard({.device = at::kCUDA, .enabled = true, .dtype = at::kBFloat16});
    const auto y = depthwise_conv2d(slice, weight, {}, 1);
    CHECK(y.scalar_type() == at::kBFloat16);
    CHECK(y.equal(depthwise_conv2d(slice.to(at::kBFloat16), weight, {}, 1)));
  }
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    auto bad = slice.contiguous().to(dtype);
    bad[1][2][7][7] = std::numeric_limits<double>::quiet_NaN();
    const auto y = depthwise_conv2d(bad, weight, {}, 1);
    CHECK(y[1][2].slice(0, 1, 14).slice(1, 1, 14).isnan().all().item<bool>());
    CHECK(y[0].isfinite().all().item<bool>());
  }
}

DilatedReparam on_gpu(DilatedReparam block) {
  for_each_tensor(block, [](at::Tensor& tensor, bool) { tensor = tensor.to(at::kCUDA); });
  return block;
}

Outcome run_on(const DilatedReparam& block, const at::Tensor& x, const at::Tensor& dy, at::ScalarType dtype,
               bool is_fused) {
  return run(block, at::kFloat, x, dy, [&](const auto& b, const at::Tensor& map) {
    const AutocastGuard guard({.device = at::kCUDA, .enabled = dtype != at::kFloat, .dtype = dtype});
    const auto y = is_fused ? fused_dilated_reparam(b, map, true) : unfused(b, map, true);
    if (is_fused) CHECK(y.scalar_type() == dtype);
    return y.to(at::kFloat);
  });
}

void check_block(const DilatedReparam& block, const at::Tensor& x, const at::Tensor& dy, at::ScalarType dtype) {
  REQUIRE(can_fuse(block, x, true));
  const auto exact = run_judge(block, x, dy), ours = run_on(block, x, dy, dtype, true);
  const auto again = run_on(block, x, dy, dtype, true);
  CHECK(ours.y.equal(again.y));
  CHECK(ours.dx.equal(again.dx));
  for (size_t i = 0; i < ours.of_tensors.size(); ++i) CHECK(ours.of_tensors[i].equal(again.of_tensors[i]));
  if (dtype == at::kFloat) return compare(ours, exact, block);
  const auto theirs = run_on(block, x, dy, dtype, false);
  CHECK(error_of(ours.y, exact.y) <= kAgainstUnfused * error_of(theirs.y, exact.y));
  CHECK(error_of(ours.dx, exact.dx) <= kAgainstUnfused * error_of(theirs.dx, exact.dx));
  for (size_t i = 0; i < ours.of_tensors.size(); ++i) {
    CAPTURE(i);
    const bool is_branch_beta = i < 5 * block.branches.size() && i % 5 == 2;
    if (is_branch_beta) continue;  // 0, and rounding noise in the graph
    const double limit = kAgainstUnfused * error_of(theirs.of_tensors[i], exact.of_tensors[i]);
    CHECK(error_of(ours.of_tensors[i], exact.of_tensors[i]) <= std::max(limit, test::kFusedGradientF32));
  }
}

TEST_CASE("dilated_reparam: on a GPU, output, statistics and gradients against the unfused graph", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto [images, channels, height, width] =
      GENERATE(table<int64_t, int64_t, int64_t, int64_t>({{3, 40, 28, 28},
                                                          {4, 33, 14, 14},
                                                          {19, 24, 14, 14},
                                                          {9, 32, 7, 7},
                                                          {2, 17, 9, 21},
                                                          {5, 8, 12, 12},
                                                          {2, 16, 13, 31},
                                                          {40, 16, 24, 12}}));
  CAPTURE(dtype, images, channels, height, width);
  const auto block = on_gpu(make_block(table_row(13), channels));
  const auto x = gpu_map({images, channels, height, width}, 1, dtype).to(at::kFloat);
  const auto dy = gpu_map(x.sizes(), 2, dtype).to(at::kFloat);
  check_block(block, x, dy, dtype);
}

TEST_CASE("dilated_reparam: on a GPU, many images in parts of memory", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto block = on_gpu(make_block(table_row(13), 64));
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const auto x = gpu_map({70, 64, 28, 28}, 1, dtype).to(at::kFloat);
  const auto dy = gpu_map(x.sizes(), 2, dtype).to(at::kFloat);
  check_block(block, x, dy, dtype);
}

TEST_CASE("dilated_reparam: on a GPU, a mean far from zero", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kBFloat16, at::kHalf);
  const auto side = GENERATE(28, 14, 10, 7);
  CAPTURE(dtype, side);
  const auto block = on_gpu(make_block(table_row(13), 16));
  const auto x = (gpu_map({20, 16, side, side}, 1) + 100).to(dtype).to(at::kFloat);
  const auto dy = gpu_map(x.sizes(), 2, dtype).to(at::kFloat);
  check_block(block, x, dy, dtype);
}

TEST_CASE("dilated_reparam: on a GPU, infinity and not-a-number", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto side = GENERATE(28, 14, 10, 7);
  const double value = GENERATE(std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN());
  CAPTURE(dtype, side, value);
  constexpr int64_t kBad = 3;
  const auto block = on_gpu(make_block(table_row(13), 8));
  auto x = gpu_map({2, 8, side, side}, 1, dtype).to(at::kFloat);
  x[1][kBad][side / 2][side / 2] = value;
  const auto dy = gpu_map(x.sizes(), 2, dtype).to(at::kFloat);
  const auto ours = run_on(block, x, dy, dtype, true), theirs = run_on(block, x, dy, dtype, false);
  CHECK_FALSE(ours.y.select(1, kBad).isfinite().any().item<bool>());
  CHECK(ours.y.isfinite().equal(theirs.y.isfinite()));
  CHECK(ours.dx.isfinite().equal(theirs.dx.isfinite()));
  for (size_t i = 0; i < ours.of_tensors.size(); ++i) {
    CAPTURE(i);
    const size_t of_branches = 5 * block.branches.size();
    const bool is_branch_beta = i < of_branches && i % 5 == 2, is_outer_mean = i == of_branches + 2;
    if (is_branch_beta || is_outer_mean) continue;  // 0, and the sum of betas, whatever x is
    CHECK(ours.of_tensors[i].isfinite().equal(theirs.of_tensors[i].isfinite()));
  }
}

TEST_CASE("dilated_reparam: on a GPU, a small block", "[cuda][sanitize]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto block = on_gpu(make_block(table_row(13), 8));
  const auto x = gpu_map({2, 8, 14, 14}, 1), dy = gpu_map(x.sizes(), 2);
  check_block(block, x, dy, GENERATE(at::kFloat, at::kBFloat16));
}

TEST_CASE("dilated_reparam: on a GPU, narrow maps of few images are near wide ones", "[cuda][sanitize]") {
  if (is_skipped()) return;
  const auto dtype = GENERATE(at::kBFloat16, at::kHalf);
  const auto [images, channels, side] =
      GENERATE(table<int64_t, int64_t, int64_t>({{1, 8, 28}, {2, 40, 14}, {5, 8, 7}, {3, 16, 12}, {2, 9, 14}}));
  CAPTURE(dtype, images, channels, side);
  const auto block = on_gpu(make_block(table_row(13), channels));
  const auto x = gpu_map({images, channels, side, side}, 1, dtype).to(at::kFloat);
  const auto dy = gpu_map(x.sizes(), 2, dtype).to(at::kFloat);
  const auto wide = run_on(block, x, dy, at::kFloat, true), narrow = run_on(block, x, dy, dtype, true);
  constexpr double kNear = 8.0 / 256;  // some roundings to bf16: whether a map is read as what it is
  CHECK(error_of(narrow.y, wide.y) <= kNear);
  CHECK(error_of(narrow.dx, wide.dx) <= kNear);
}

TEST_CASE("dilated_reparam: on a GPU, maps in the middle of other memory", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto block = on_gpu(make_block(table_row(13), 8));
  const auto x = gpu_map({2, 8, 14, 14}, 1, at::kBFloat16);
  const auto moved = at::empty({x.numel() + 1}, x.options().memory_format(std::nullopt))
                         .as_strided(x.sizes(), x.strides(), /*storage_offset=*/1);
  moved.copy_(x);
  const auto expected = fused_dilated_reparam(block, x, false);
  CHECK(fused_dilated_reparam(block, moved, false).equal(expected));
}

TEST_CASE("dilated_reparam: on a GPU, running statistics are left alone, absent or used", "[cuda]") {
  if (is_skipped()) return;
  auto block = copy_of(on_gpu(make_block(table_row(13), 8)), at::kFloat);
  const auto x = gpu_map({2, 8, 14, 14}, 1), dy = gpu_map(x.sizes(), 2);
  const auto mean = block.outer.running_mean.clone();
  const auto expected = fused_dilated_reparam(block, x, false);
  CHECK(block.outer.running_mean.equal(mean));
  const auto merged = run(block, at::kFloat, x, dy,
                          [](const auto& b, const at::Tensor& map) { return merged_dilated_reparam(b, map); });
  compare(merged, run_judge(block, x, dy, false), block, false);
  for_each_tensor(block, [](at::Tensor& tensor, bool is_weight) {
    if (!is_weight) tensor = at::Tensor();
  });
  CHECK(fused_dilated_reparam(block, x, false).equal(expected));
  CHECK_THROWS_WITH(fused_dilated_reparam(block, x, true), Contains("no running statistics to move"));
}

TEST_CASE("dilated_reparam: on a GPU, counts the batches that its norms have seen", "[cuda]") {
  if (is_skipped()) return;
  constexpr int64_t kChannels = 70;  // of more than one thread block
  auto block = copy_of(on_gpu(make_block(table_row(13), kChannels)), at::kFloat);
  const auto x = gpu_map({2, kChannels, 14, 14}, 1);
  const auto count = x.options().dtype(at::kLong).memory_format(std::nullopt);
  block.outer.batches = at::full({}, 5, count);
  block.branches[1].norm.batches = at::zeros({}, count);
  for (const bool update : {true, false, true}) fused_dilated_reparam(block, x, update);
  CHECK(block.outer.batches.item<int64_t>() == 7);
  CHECK(block.branches[1].norm.batches.item<int64_t>() == 2);
}

TEST_CASE("dilated_reparam: on a GPU, what it has no kernel for", "[cuda]") {
  if (is_skipped()) return;
  const auto x = gpu_map({2, 4, 14, 14}, 1);
  const auto block = on_gpu(make_block(table_row(13), 4));
  CHECK(can_fuse(block, x, true));
  CHECK_FALSE(can_fuse(on_gpu(make_block(table_row(7), 4)), x, true));
  CHECK(can_fuse(on_gpu(make_block(table_row(7), 4)), x, false));
  CHECK_FALSE(can_fuse(make_block(table_row(13), 4), x, true));  // weights elsewhere
  CHECK_FALSE(can_fuse(block, x.to(at::kDouble), true));
  CHECK_FALSE(can_fuse(block, x.slice(2, 0, 6), true));  // a branch's outer taps meet nothing
}

}  // namespace
}  // namespace unireplk::ops
