#include "unireplk/ops/dilated_reparam.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>

#include "ops/random_block.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/core/error.h"
#include "unireplk/kernels/instruction_set.h"
#include "unireplk/ops/depthwise_conv2d.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

using Catch::Matchers::Contains;
class Forced {
 public:
  explicit Forced(const std::string& name) { kernels::force_instruction_set(name); }
  ~Forced() { kernels::force_instruction_set(""); }
  Forced(const Forced&) = delete;
  Forced& operator=(const Forced&) = delete;
};

TEST_CASE("dilated_reparam: output, statistics and gradients equal the unfused graph in float64", "[numeric]") {
  const Forced isa(GENERATE(from_range(kernels::instruction_sets())));
  const int64_t size = GENERATE(7, 9, 13, 17);
  const auto [images, channels, height, width] = GENERATE(table<int64_t, int64_t, int64_t, int64_t>(
      {{2, 5, 7, 7}, {3, 8, 14, 14}, {1, 3, 28, 28}, {2, 17, 6, 15}, {2, 4, 29, 5}, {8, 2, 4, 4}, {1, 3, 4, 9}}));
  CAPTURE(kernels::instruction_set(), size, images, channels, height, width);
  const auto block = make_block(table_row(size), channels);
  const auto x = random_map({images, channels, height, width}, 1), dy = random_map(x.sizes(), 2);
  const bool every_tap_meets = std::min(height, width) > (size == 7 ? 3 : size == 9 ? 4 : size == 13 ? 6 : 8);
  REQUIRE(can_fuse(block, x, true) == every_tap_meets);
  if (!every_tap_meets) return;
  compare(run_fused(block, x, dy), run_judge(block, x, dy), block);
}

/// Fills memory that LibTorch hands out with not-a-number while this lives, so that what is read or returned before it
/// is written shows.
class Poison {
 public:
  Poison() { at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true); }
  ~Poison() { at::globalContext().setDeterministicAlgorithms(false, false); }
  Poison(const Poison&) = delete;
  Poison& operator=(const Poison&) = delete;
};

TEST_CASE("dilated_reparam: every number of channels and images, and every kernel of the table", "[numeric]") {
  const Poison poison;
  REQUIRE(at::empty({1}).isnan().item<bool>());
  const Forced isa(GENERATE(from_range(kernels::instruction_sets())));
  const auto [size, images, channels] = GENERATE(table<int64_t, int64_t, int64_t>(
      {{11, 1, 1}, {15, 2, 15}, {11, 3, 16}, {15, 8, 17}, {7, 3, 40}, {9, 2, 48}, {13, 1, 80}, {7, 70, 3}}));
  CAPTURE(kernels::instruction_set(), size, images, channels);
  const auto block = make_block(table_row(size), channels);
  const auto x = random_map({images, channels, 9, 12}, 1), dy = random_map(x.sizes(), 2);
  compare(run_fused(block, x, dy), run_judge(block, x, dy), block);
}

TEST_CASE("dilated_reparam: the large grid", "[slow]") {
  const Poison poison;
  const Forced isa(GENERATE(from_range(kernels::instruction_sets())));
  const int64_t size = GENERATE(7, 9, 11, 13, 15, 17);
  const auto [height, width] = GENERATE(table<int64_t, int64_t>(
      {{8, 8}, {12, 9}, {13, 15}, {14, 14}, {24, 24}, {27, 29}, {28, 28}, {48, 12}, {56, 56}, {97, 10}, {10, 97}}));
  const auto [images, channels] = GENERATE(table<int64_t, int64_t>({{1, 16}, {3, 17}, {8, 3}, {2, 96}}));
  CAPTURE(kernels::instruction_set(), size, height, width, images, channels);
  const auto block = make_block(table_row(size), channels);
  const auto x = random_map({images, channels, height, width}, 1), dy = random_map(x.sizes(), 2);
  if (can_fuse(block, x, true)) compare(run_fused(block, x, dy), run_judge(block, x, dy), block);
}

TEST_CASE("dilated_reparam: channels enough for a task to take a line from end to end", "[numeric]") {
  const Poison poison;
  const Forced isa(GENERATE(from_range(kernels::instruction_sets())));
  const auto [images, height, width] = GENERATE(table<int64_t, int64_t, int64_t>({{5, 7, 7}, {3, 9, 14}, {2, 7, 28}}));
  CAPTURE(kernels::instruction_set(), images, height, width);
  auto block = make_block(table_row(13), 259);
  const auto x = random_map({images, 259, height, width}, 1), dy = random_map(x.sizes(), 2);
  const auto got = run_fused(block, x, dy);
  compare(got, run_judge(block, x, dy), block);
  block.keep_branches = true;
  const auto kept = run_fused(block, x, dy);
  CHECK(kept.y.equal(got.y));
  CHECK(kept.dx.equal(got.dx));
  for (size_t i = 0; i < kept.of_tensors.size(); ++i) CHECK(kept.of_tensors[i].equal(got.of_tensors[i]));
}

TEST_CASE("dilated_reparam: tiny values, and one pixel alone", "[numeric]") {
  const Forced isa(GENERATE(from_range(kernels::instruction_sets())));
  const auto block = make_block(table_row(13), 3);
  const auto dy = random_map({2, 3, 14, 9}, 2);
  const auto tiny = random_map(dy.sizes(), 1) * 1e-20;
  const auto got = run_fused(block, tiny, dy), expected = run_judge(block, tiny, dy);
  CHECK(error_of(got.y, expected.y) <= test::kFusedF32);
  CHECK(error_of(got.dx, expected.dx) <= test::kFusedF32);
  auto one_hot = at::zeros_like(dy);
  one_hot[1][2][13][8] = 1;
  one_hot[0][0][6][0] = 1;
  compare(run_fused(block, one_hot, dy), run_judge(block, one_hot, dy), block);
}

TEST_CASE("dilated_reparam: not-a-number or infinity in, nothing finite out", "[numeric]") {
  const Forced isa(GENERATE(from_range(kernels::instruction_sets())));
  const double bad = GENERATE(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity());
  const auto block = make_block(table_row(7), 3);
  auto x = random_map({2, 3, 8, 8}, 1);
  x[1][2][3][3] = bad;
  const auto got = run_fused(block, x, random_map(x.sizes(), 2));
  CHECK(got.y.select(1, 2).isnan().all().item<bool>());  // its mean is
  CHECK(got.dx.select(1, 2).isnan().all().item<bool>());
  CHECK(got.of_tensors[4][2].isnan().item<bool>());  // and its running variance
  CHECK(got.y.slice(1, 0, 2).isfinite().all().item<bool>());
  CHECK(got.dx.slice(1, 0, 2).isfinite().all().item<bool>());
  auto dy = random_map(x.sizes(), 2);
  dy[0][1][7][0] = bad;
  const auto of_bad_gradient = run_fused(block, random_map(x.sizes(), 1), dy);
  CHECK_FALSE(of_bad_gradient.dx.select(1, 1).isfinite().any().item<bool>());
  CHECK(of_bad_gradient.dx.select(1, 2).isfinite().all().item<bool>());
}

TEST_CASE("dilated_reparam: running statistics as a plain mean of batches, or none", "[numeric]") {
  auto block = copy_of(make_block(table_row(7), 4), at::kFloat);
  auto judge = copy_of(block, at::kDouble);
  for (int batch = 1; batch <= 3; ++batch) {  // what batch_norm does when it is given no momentum
    block.momentum = judge.momentum = 1.0 / batch;
    const auto x = random_map({2, 4, 8, 8}, static_cast<unsigned>(batch));
    fused_dilated_reparam(block, x, true);
    unfused(judge, x.to(at::kDouble), true);
  }
  CHECK(error_of(block.outer.running_var, judge.outer.running_var) <= test::kFusedF32);
  CHECK(error_of(block.branches[2].norm.running_mean, judge.branches[2].norm.running_mean) <= test::kFusedF32);

  const auto x = random_map({2, 4, 8, 8}, 9);
  const auto expected = fused_dilated_reparam(block, x, false);
  for_each_tensor(block, [](at::Tensor& tensor, bool is_weight) {
    if (!is_weight) tensor = at::Tensor();
  });
  CHECK(can_fuse(block, x, true));
  CHECK(fused_dilated_reparam(block, x, false).equal(expected));
  CHECK_FALSE(can_fuse(block, x, false));
  CHECK_THROWS_WITH(fused_dilated_reparam(block, x, true), Contains("no running statistics to move"));
}

TEST_CASE("dilated_reparam: kept branches change no bit", "[numeric]") {
  const Forced isa(GENERATE(from_range(kernels::instruction_sets())));
  const auto [images, channels, height, width] =
      GENERATE(table<int64_t, int64_t, int64_t, int64_t>({{2, 17, 9, 15}, {3, 3, 14, 14}, {1, 40, 7, 29}}));
  auto block = make_block(table_row(13), channels);
  const auto x = random_map({images, channels, height, width}, 1), dy = random_map(x.sizes(), 2);
  const auto expected = run_fused(block, x, dy);
  block.keep_branches = true;
  const Poison poison;
  const auto kept = run_fused(block, x, dy);
  CHECK(kept.y.equal(expected.y));
  CHECK(kept.dx.equal(expected.dx));
  for (size_t i = 0; i < kept.of_tensors.size(); ++i) CHECK(kept.of_tensors[i].equal(expected.of_tensors[i]));

  const auto leaf = x.detach().requires_grad_();
  const auto y = fused_dilated_reparam(block, leaf, false);
  const auto backward = [&] { return torch::autograd::grad({y}, {leaf}, {dy}, /*retain_graph=*/true)[0]; };
  const auto first = backward();
  CHECK(first.equal(backward()));  // what is kept stays as it is
}

TEST_CASE("dilated_reparam: any branches up to eight", "[numeric]") {
  const auto kernels = GENERATE(Kernels{{7, 1}}, Kernels{{7, 1}, {1, 1}}, Kernels{{13, 1}, {3, 6}, {5, 3}},
                                Kernels{{9, 1}, {1, 1}, {3, 1}, {3, 2}, {3, 3}, {3, 4}, {5, 1}, {5, 2}});
  const auto block = make_block(kernels, 6);
  const auto x = random_map({3, 6, 10, 11}, 1), dy = random_map(x.sizes(), 2);
  compare(run_fused(block, x, dy), run_judge(block, x, dy), block);
  auto nine = make_block(kernels, 6);
  while (nine.branches.size() < 9) nine.branches.push_back(nine.branches.back());
  CHECK_FALSE(can_fuse(nine, x, true));
}

TEST_CASE("dilated_reparam: a mean far from 0 costs no more than its digits", "[numeric]") {
  const auto block = make_block(table_row(13), 8);
  const auto x = random_map({4, 8, 14, 14}, 1) + 10, dy = random_map(x.sizes(), 2);
  compare(run_fused(block, x, dy), run_judge(block, x, dy), block, true, 100);  // at borders x * w leaves the mean
}

TEST_CASE("dilated_reparam: branches that cancel", "[numeric]") {
  const int64_t channels = GENERATE(4, 260);
  auto block = make_block({{7, 1}, {7, 1}}, channels);
  block.branches[1].weight = block.branches[0].weight + 1e-4 * at::randn_like(block.branches[0].weight);
  block.branches[1].norm.weight = -block.branches[0].norm.weight;
  const auto x = random_map({4, channels, 14, 14}, 1), dy = random_map(x.sizes(), 2);
  const auto got = run_fused(block, x, dy), expected = run_judge(block, x, dy);
  CHECK(error_of(got.y, expected.y) <= 1e-2);  // four of seven digits are gone before any norm
  CHECK(at::isfinite(got.dx).all().item<bool>());
}

TEST_CASE("dilated_reparam: a constant map has no variance", "[numeric]") {
  const auto block = make_block({{7, 1}, {3, 1}}, 3);
  const auto x = at::zeros({2, 3, 9, 9}), dy = random_map(x.sizes(), 2);
  compare(run_fused(block, x, dy), run_judge(block, x, dy), block);
}

TEST_CASE("dilated_reparam: the same bits for any number of threads", "[numeric]") {
  const int64_t channels = GENERATE(3, 24, 160, 272);
  const auto block = make_block(table_row(13), channels);
  const auto x = random_map({5, channels, 9, 14}, 1), dy = random_map(x.sizes(), 2);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = run_fused(block, x, dy);
  for (const int threads : {2, 3}) {
    at::set_num_threads(threads);
    const auto several = run_fused(block, x, dy);
    CHECK(at::equal(several.y, one.y));
    CHECK(at::equal(several.dx, one.dx));
    for (size_t i = 0; i < one.of_tensors.size(); ++i) CHECK(at::equal(several.of_tensors[i], one.of_tensors[i]));
  }
  at::set_num_threads(before);
}

TEST_CASE("dilated_reparam: any memory format", "[numeric]") {
  const auto block = make_block(table_row(7), 6);
  const auto wide = random_map({3, 12, 9, 20}, 1);
  const auto slice = wide.slice(1, 3, 9).slice(3, 2, 18, 2), dy = random_map(slice.sizes(), 2);
  const auto expected = run_fused(block, slice.clone(at::MemoryFormat::ChannelsLast), dy);
  for (const auto& x : {slice, slice.contiguous()}) {
    const auto got = run_fused(block, x, dy.contiguous());
    CHECK(at::equal(got.y, expected.y));
    CHECK(at::equal(got.dx, expected.dx));
  }
}

TEST_CASE("dilated_reparam: leaves running statistics alone when told to", "[numeric]") {
  auto block = copy_of(make_block(table_row(7), 4), at::kFloat);
  const auto x = random_map({2, 4, 8, 8}, 1);
  const auto mean = block.outer.running_mean.clone();
  const auto version = block.outer.running_mean._version();
  fused_dilated_reparam(block, x, false);
  CHECK(at::equal(block.outer.running_mean, mean));
  CHECK(block.outer.running_mean._version() == version);
  fused_dilated_reparam(block, x, true);
  CHECK_FALSE(at::equal(block.outer.running_mean, mean));
  CHECK(block.outer.running_mean._version() > version);
  CHECK(block.branches[1].norm.running_var._version() > version);
}

TEST_CASE("dilated_reparam: counts the batches that its norms have seen", "[numeric]") {
  auto block = copy_of(make_block(table_row(7), 4), at::kFloat);
  const auto x = random_map({2, 4, 8, 8}, 1);
  block.outer.batches = at::full({}, 5, at::kLong);
  block.branches[1].norm.batches = at::zeros({}, at::kLong);  // and nobody counts for the others
  const auto version = block.outer.batches._version();
  for (const bool update : {true, false, true}) fused_dilated_reparam(block, x, update);
  CHECK(block.outer.batches.item<int64_t>() == 7);
  CHECK(block.outer.batches._version() > version);
  CHECK(block.branches[1].norm.batches.item<int64_t>() == 2);
  block.outer.batches = at::zeros({});
  CHECK_FALSE(can_fuse(block, x, true));
  CHECK(can_fuse(block, x, false));
}

TEST_CASE("dilated_reparam: running statistics: one merged convolution with all gradients", "[numeric]") {
  const int64_t size = GENERATE(7, 13);
  const auto block = make_block(table_row(size), 7);
  const auto x = random_map({2, 7, 14, 9}, 1), dy = random_map(x.sizes(), 2);
  const auto got = run(block, at::kFloat, x, dy,
                       [](const auto& b, const at::Tensor& map) { return merged_dilated_reparam(b, map); });
  compare(got, run_judge(block, x, dy, false), block, false);
}

TEST_CASE("dilated_reparam: only wanted gradients, and none of gradients", "[numeric]") {
  const auto block = copy_of(make_block(table_row(7), 4), at::kFloat);
  const auto x = random_map({2, 4, 8, 8}, 1);
  fused_dilated_reparam(block, x, true).sum().backward();
  CHECK(block.branches[0].weight.grad().defined());
  const auto y = fused_dilated_reparam(block, x.clone().requires_grad_(), true);
  CHECK_THROWS_WITH(torch::autograd::grad({y.square().sum()}, {block.branches[0].weight}, {}, std::nullopt, true),
                    Contains("create_graph"));
}

/// Errors of an outcome: of y, dx and the large kernel's gradient.
std::array<double, 3> errors_of(const Outcome& got, const Outcome& exact) {
  return {error_of(got.y, exact.y), error_of(got.dx, exact.dx), error_of(got.of_tensors[0], exact.of_tensors[0])};
}

TEST_CASE("dilated_reparam: narrow maps cost no more precision than in LibTorch's own graph", "[numeric]") {
  const auto dtype = GENERATE(at::kBFloat16, at::kHalf);
  const bool autocast = GENERATE(false, true);
  CAPTURE(dtype, autocast);
  const auto block = make_block(table_row(13), 16);
  const auto x = random_map({2, 16, 14, 14}, 3).to(dtype).to(at::kFloat), dy = random_map(x.sizes(), 4);
  const auto exact = run_judge(block, x, dy);
  const auto rounded = [&](const at::Tensor& map) { return autocast ? map : map.to(dtype); };
  const AutocastSettings settings{.device = at::kCPU, .enabled = autocast, .dtype = dtype};
  const auto fused = run(block, at::kFloat, x, dy, [&](const auto& b, const at::Tensor& map) {
    const AutocastGuard guard(settings);
    const auto y = fused_dilated_reparam(b, rounded(map), true);
    CHECK(y.scalar_type() == dtype);
    return y.to(at::kFloat);
  });
  const auto graph = run(block, at::kFloat, x, dy, [&](const auto& b, const at::Tensor& map) {
    const AutocastGuard guard({.device = at::kCPU, .enabled = true, .dtype = dtype});
    return unfused(b, map, true).to(at::kFloat);
  });
  const auto ours = errors_of(fused, exact), theirs = errors_of(graph, exact);
  for (size_t i = 0; i < ours.size(); ++i) CHECK(ours[i] <= 1.5 * theirs[i]);
}

TEST_CASE("depthwise_conv2d: rounds the map alone under autocast") {
  at::manual_seed(6);
  const auto x = at::randn({2, 8, 9, 9}), weight = at::randn({8, 1, 7, 7}), bias = at::randn({8});
  const auto expected = depthwise_conv2d(x.to(at::kBFloat16).to(at::kFloat), weight, bias, 1).to(at::kBFloat16);
  const AutocastGuard guard({.device = at::kCPU, .enabled = true, .dtype = at::kBFloat16});
  CHECK(depthwise_conv2d(x, weight, bias, 1).equal(expected));
  CHECK(depthwise_conv2d(x.to(at::kBFloat16), weight, bias, 1).equal(expected));
}

TEST_CASE("dilated_reparam: what it has no kernel for", "[numeric]") {
  const auto block = make_block(table_row(7), 4);
  CHECK(can_fuse(block, at::zeros({1, 4, 5, 4}), true));
  CHECK_FALSE(can_fuse(block, at::zeros({1, 4, 5, 3}), true));  // one tap of a branch alone meets it
  CHECK_FALSE(can_fuse(block, at::zeros({1, 4, 1, 1}), true));  // a variance of one value
  CHECK(can_fuse(block, at::zeros({1, 4, 1, 1}), false));
  CHECK_FALSE(can_fuse(copy_of(block, at::kDouble), at::zeros({1, 4, 2, 2}, at::kDouble), true));
  CHECK_FALSE(can_fuse(make_block({{5, 1}, {3, 1}}, 4), at::zeros({1, 4, 2, 2}), true));
  CHECK_THROWS_AS(fused_dilated_reparam(block, at::zeros({1, 4, 1, 1}), true), ContractError);
  CHECK_THROWS_WITH(fused_dilated_reparam(block, at::zeros({1, 3, 5, 5}), true),
                    Contains("kernel [4, 1, 7, 7] does not fit x [1, 3, 5, 5]: expected [3, 1, k, k]"));
  CHECK_THROWS_WITH(fused_dilated_reparam(make_block({{7, 1}, {3, 4}}, 4), at::zeros({1, 4, 5, 5}), true),
                    Contains("kernel [4, 1, 3, 3] with dilation 4 reaches beyond [4, 1, 7, 7]"));
}

TEST_CASE("depthwise_conv2d: equals conv2d in float64, with all gradients", "[numeric]") {
  const auto [size, dilation] = GENERATE(table<int64_t, int64_t>({{7, 1}, {13, 1}, {3, 4}}));
  const bool nchw = GENERATE(false, true);
  const auto x_values = random_map({2, 5, 9, 16}, 1), dy = random_map(x_values.sizes(), 2);
  const auto weight_values = at::randn({5, 1, size, size}), bias_values = at::randn({5});
  std::vector<std::vector<at::Tensor>> outcomes;
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto leaf = [&](const at::Tensor& values) { return values.to(dtype).detach().clone().requires_grad_(); };
    const auto x = leaf(nchw ? x_values.contiguous() : x_values), weight = leaf(weight_values),
               bias = leaf(bias_values);
    const int64_t padding = dilation * (size / 2);
    const auto y = dtype == at::kFloat
                       ? depthwise_conv2d(x, weight, bias, dilation)
                       : at::conv2d(x, weight, bias, {1, 1}, {padding, padding}, {dilation, dilation}, 5);
    y.backward(dy.to(dtype));
    outcomes.push_back({y, x.grad(), weight.grad(), bias.grad()});
  }
  for (size_t i = 0; i < 4; ++i) CHECK(error_of(outcomes[0][i], outcomes[1][i]) <= test::kDepthwiseWeightsF32);
}

TEST_CASE("depthwise_conv2d: refuses what does not fit, and gradients of gradients", "[numeric]") {
  const auto x = at::zeros({1, 4, 5, 5});
  CHECK_THROWS_WITH(depthwise_conv2d(x, at::zeros({3, 1, 7, 7}), {}, 1),
                    Contains("weight [3, 1, 7, 7] with dilation 1 does not fit x [1, 4, 5, 5]: expected [4, 1, K, K]"));
  CHECK_THROWS_WITH(depthwise_conv2d(x, at::zeros({4, 1, 7, 7}), at::zeros({3}), 1), Contains("bias [3] does not fit"));
  CHECK_THROWS_WITH(depthwise_conv2d(x, at::zeros({4, 1, 3, 3}), {}, 1), Contains("no kernel"));
  CHECK_FALSE(has_depthwise_kernel(x.to(at::kDouble), at::zeros({4, 1, 7, 7}, at::kDouble), 1));
  const auto leaf = at::ones({1, 4, 5, 5}).requires_grad_();
  const auto y = depthwise_conv2d(leaf, at::ones({4, 1, 7, 7}), {}, 1);
  CHECK_THROWS_WITH(torch::autograd::grad({y.square().sum()}, {leaf}, {}, std::nullopt, true),
                    Contains("create_graph"));
}

}  // namespace
}  // namespace unireplk::ops
