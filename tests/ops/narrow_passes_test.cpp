#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "ops/against_parts.h"
#include "ops/end_of_block.h"
#include "support/catch.h"
#include "unireplk/ops/channel_layer_norm.h"
#include "unireplk/ops/drop_path.h"
#include "unireplk/ops/grn.h"
#include "unireplk/ops/normed_branch.h"
#include "unireplk/ops/passes.h"
#include "unireplk/ops/squeeze_excite.h"

/// The fused operators of a block on a CPU under autocast to bf16.
namespace unireplk::ops {
namespace {

at::Tensor seeded(at::IntArrayRef shape, unsigned seed) {
  at::manual_seed(seed);
  return at::randn(shape);
}

/// The bits of results with one thread, with two and with three.
void check_narrow_threads(const Tensors& inputs, const Graph& graph) {
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = run_graph(inputs, at::kBFloat16, graph);
  for (const int count : {2, 3}) {
    at::set_num_threads(count);
    const auto more = run_graph(inputs, at::kBFloat16, graph);
    for (size_t i = 0; i < one.size(); ++i) CHECK(one[i].equal(more[i]));
  }
  at::set_num_threads(before);
}

/// That `graph` is an operator with a backward pass of its own, which has no graph as those of its parts have.
void check_fused(Tensors inputs, const Graph& graph) {
  const AutocastGuard guard({.device = at::kCPU, .enabled = true, .dtype = at::kBFloat16});
  inputs[1] = inputs[1].clone().requires_grad_();
  const auto y = graph(inputs);
  CHECK_THROWS_WITH(torch::autograd::grad({y.square().sum()}, {inputs[1]}, {}, std::nullopt, true),
                    Catch::Matchers::Contains("create_graph"));
}

/// That the first image is finite and the second is not a number anywhere.
void check_second_is_bad(const at::Tensor& y) {
  CHECK(at::isfinite(y[0]).all().item<bool>());
  CHECK(at::isnan(y[1]).all().item<bool>());
}

Tensors narrow_gelu_grn_inputs(at::IntArrayRef map, int64_t out, bool with_beta, at::ScalarType dtype) {
  Tensors inputs{seeded(map, 1).to(dtype), seeded({out, map[3]}, 2) / 2, seeded({out}, 3), seeded({1, 1, 1, out}, 4)};
  if (with_beta) inputs.push_back(seeded({1, 1, 1, out}, 5));
  return inputs;
}

at::Tensor beta_of(const Tensors& t) { return t.size() > 4 ? t[4] : at::Tensor(); }

at::Tensor narrow_gelu_grn(const Tensors& t) { return linear_gelu_grn(t[0], t[1], t[2], t[3], beta_of(t)); }

TEST_CASE("linear_gelu_grn: in bf16, against its parts, with all gradients", "[numeric]") {
  const auto [n, h, w, in, out] = GENERATE(table<int64_t, int64_t, int64_t, int64_t, int64_t>({{2, 3, 5, 4, 16},
                                                                                               {1, 1, 1, 4, 5},
                                                                                               {3, 9, 7, 5, 19},
                                                                                               {2, 20, 21, 7, 300},
                                                                                               {5, 7, 7, 16, 2560},
                                                                                               {2, 5, 3, 8, 1037}}));
  const bool with_beta = GENERATE(true, false);
  const auto dtype = GENERATE(at::kBFloat16, at::kFloat);  // of the map before the product
  CAPTURE(n, h, w, out, with_beta, dtype);
  check_operator(narrow_gelu_grn_inputs({n, h, w, in}, out, with_beta, dtype), at::kBFloat16, narrow_gelu_grn,
                 [](const Tensors& t) { return grn(at::gelu(at::linear(t[0], t[1], t[2])), t[3], beta_of(t)); });
}

TEST_CASE("linear_gelu_grn: in bf16, threads, a channel of zeros, the ends of GELU, not-a-number", "[numeric]") {
  auto inputs = narrow_gelu_grn_inputs({2, 30, 30, 4}, 7, true, at::kBFloat16);
  check_fused(inputs, narrow_gelu_grn);
  check_narrow_threads(inputs, narrow_gelu_grn);
  inputs[1].narrow(0, 2, 3).zero_();
  inputs[2][2] = 0;     // h is 0, and so is its norm
  inputs[2][3] = -1e4;  // so it is here
  inputs[2][4] = 200;
  for (const auto& result : run_graph(inputs, at::kBFloat16, narrow_gelu_grn)) {
    CHECK(at::isfinite(result).all().item<bool>());
  }
  inputs[0][1][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  check_second_is_bad(run_graph(inputs, at::kBFloat16, narrow_gelu_grn)[0]);
  inputs[0][1][0][0][0] = std::numeric_limits<float>::infinity();
  CHECK(at::isfinite(run_graph(inputs, at::kBFloat16, narrow_gelu_grn)[0][0]).all().item<bool>());
  const auto none =
      run_graph(narrow_gelu_grn_inputs({0, 3, 3, 4}, 8, true, at::kBFloat16), at::kBFloat16, narrow_gelu_grn);
  CHECK(none[0].numel() == 0);
  for (size_t i = 2; i < none.size(); ++i) CHECK(none[i].eq(0).all().item<bool>());
}

Tensors narrow_squeeze_inputs(at::IntArrayRef map, at::ScalarType dtype) {
  const int64_t c = map[1], inner = std::max<int64_t>(c / 4, 1);
  return {random_map(map, 1).to(dtype) + 0.5, seeded({inner, c}, 2) / 2, seeded({inner}, 3), seeded({c, inner}, 4) / 2,
          seeded({c}, 5)};
}

at::Tensor narrow_squeeze(const Tensors& t) { return squeeze_excite(t[0], {t[1], t[2]}, {t[3], t[4]}); }

TEST_CASE("squeeze_excite: in bf16, against its parts, with all gradients", "[numeric]") {
  const auto [n, c, h, w] = GENERATE(table<int64_t, int64_t, int64_t, int64_t>(
      {{2, 8, 3, 5}, {1, 4, 1, 1}, {3, 19, 9, 7}, {1, 6, 30, 31}, {2, 640, 7, 7}, {2, 80, 28, 28}}));
  const auto dtype = GENERATE(at::kBFloat16, at::kFloat);  // float32: a map that no product came before
  CAPTURE(n, c, h, w, dtype);
  check_operator(narrow_squeeze_inputs({n, c, h, w}, dtype), at::kBFloat16, narrow_squeeze, [](const Tensors& t) {
    const auto means = at::linear(t[0].mean({2, 3}), t[1], t[2]).relu();
    return t[0] * at::linear(means, t[3], t[4]).sigmoid().unsqueeze(-1).unsqueeze(-1);
  });
}

TEST_CASE("squeeze_excite: in bf16, threads and not-a-number", "[numeric]") {
  auto inputs = narrow_squeeze_inputs({2, 21, 30, 30}, at::kBFloat16);
  check_fused(inputs, narrow_squeeze);
  check_narrow_threads(inputs, narrow_squeeze);
  inputs[0][1][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  check_second_is_bad(run_graph(inputs, at::kBFloat16, narrow_squeeze)[0]);
}

Tensors narrow_tail_inputs(at::IntArrayRef map, at::ScalarType of_x, at::ScalarType of_y, bool has_scale) {
  const int64_t c = map[1];
  Tensors inputs{random_map(map, 1).to(of_x), (random_map(map, 2) * 2 + 3).to(of_y), seeded({c}, 3) + 1.5,
                 seeded({c}, 4)};
  if (has_scale) inputs.push_back(seeded({c}, 5));
  return inputs;
}

TEST_CASE("add_normed_branch: in bf16, against its parts, with statistics and gradients", "[numeric]") {
  const auto [n, c, h, w] = GENERATE(table<int64_t, int64_t, int64_t, int64_t>(
      {{2, 8, 3, 5}, {9, 4, 1, 1}, {3, 19, 9, 7}, {1, 12, 30, 31}, {2, 640, 7, 7}}));
  const bool has_scale = GENERATE(true, false), has_mask = GENERATE(true, false);
  const auto [of_x, of_y] = GENERATE(table<at::ScalarType, at::ScalarType>(
      {{at::kFloat, at::kBFloat16}, {at::kBFloat16, at::kBFloat16}, {at::kBFloat16, at::kFloat}}));
  CAPTURE(n, c, h, w, has_scale, has_mask, of_x, of_y);
  const auto mask_of = [&, images = n](at::ScalarType type) {
    return has_mask ? at::arange(images, type).view({-1, 1, 1, 1}) : at::Tensor();  // the first image is dropped
  };
  const auto fused = [&](const Tensors& t) {
    const EndOfBlock tail(t[0].size(1));
    const auto branch = tail.branch(t, mask_of(at::kFloat));
    REQUIRE(can_fuse(branch, t[0]));
    const auto y = add_normed_branch(t[0], branch, true);
    CHECK(tail.batches.item<int64_t>() == 1);
    EndOfBlock judge(t[0].size(1), at::kDouble);
    at::batch_norm(t[1].detach().to(at::kDouble), {}, {}, judge.mean, judge.variance, true, kMomentum, kEps, false);
    CHECK(error_of(tail.mean, judge.mean) <= test::kFusedGradientF32);
    CHECK(error_of(tail.variance, judge.variance) <= test::kFusedGradientF32);
    return y;
  };
  check_operator(narrow_tail_inputs({n, c, h, w}, of_x, of_y, has_scale), at::kBFloat16, fused, [&](const Tensors& t) {
    const auto y = at::batch_norm(t[1], t[2], t[3], {}, {}, true, kMomentum, kEps, false);
    const bool is_exact = t[0].scalar_type() == at::kDouble;
    return add_branch(t[0], y, t.size() > 4 ? t[4] : at::Tensor(), mask_of(is_exact ? at::kDouble : at::kFloat));
  });
}

TEST_CASE("add_normed_branch: in bf16, threads, statistics far from zero, not-a-number", "[numeric]") {
  auto inputs = narrow_tail_inputs({3, 21, 30, 30}, at::kFloat, at::kBFloat16, true);
  const auto graph = [](const Tensors& t) { return add_normed_branch(t[0], EndOfBlock(21).branch(t, {}), true); };
  check_narrow_threads(inputs, graph);
  const at::NoGradGuard no_graph;
  inputs[1] = (inputs[1] + 1000).to(at::kBFloat16);
  const EndOfBlock tail(21), before(21);
  add_normed_branch(inputs[0], tail.branch(inputs, {}), true);
  const auto variance = (tail.variance - (1 - kMomentum) * before.variance) / kMomentum;
  CHECK(error_of(variance, inputs[1].to(at::kDouble).var(at::IntArrayRef{0, 2, 3})) <= 1e-5);
  inputs[1][0][2][0][0] = std::numeric_limits<float>::quiet_NaN();
  const auto y = add_normed_branch(inputs[0], EndOfBlock(21).branch(inputs, {}), false);
  CHECK(at::isnan(y.select(1, 2)).all().item<bool>());
  CHECK(at::isfinite(y.narrow(1, 3, 18)).all().item<bool>());
}

TEST_CASE("add_normed_branch: in bf16, several ranks come to what one does", "[numeric]") {
  const at::NoGradGuard no_graph;
  check_two_ranks(narrow_tail_inputs({5, 12, 9, 7}, at::kFloat, at::kBFloat16, false));
}

Tensors narrow_norm_inputs(at::IntArrayRef map, at::ScalarType dtype) {
  return {(random_map(map, 1) * 2 + 3).to(dtype), seeded({map[1]}, 2) + 1, seeded({map[1]}, 3)};
}

/// As autocast has it on GPUs: the norm is in float32.
at::Tensor wide_layer_norm(const Tensors& t, bool then_gelu) {
  const auto nhwc = t[0].to(at::promote_types(t[0].scalar_type(), at::kFloat)).permute({0, 2, 3, 1});
  const auto y = at::layer_norm(nhwc, t[1].sizes(), t[1], t[2], 1e-6).permute({0, 3, 1, 2});
  return then_gelu ? at::gelu(y) : y;
}

TEST_CASE("channel_layer_norm: of bf16, against its parts in float32, with all gradients", "[numeric]") {
  const auto [n, c, h, w] = GENERATE(table<int64_t, int64_t, int64_t, int64_t>(
      {{2, 8, 3, 5}, {1, 4, 1, 1}, {3, 19, 9, 7}, {2, 6, 31, 30}, {2, 160, 14, 14}, {1, 1037, 3, 2}}));
  const auto dtype = GENERATE(at::kBFloat16, at::kFloat);
  const bool then_gelu = GENERATE(false, true);
  CAPTURE(n, c, h, w, dtype, then_gelu);
  check_operator(
      narrow_norm_inputs({n, c, h, w}, dtype), at::kBFloat16,
      [=](const Tensors& t) { return channel_layer_norm(t[0], t[1], t[2], 1e-6, then_gelu); },
      [=](const Tensors& t) { return wide_layer_norm(t, then_gelu); });
}

TEST_CASE("channel_layer_norm: of bf16, threads, not-a-number stays in its pixel", "[numeric]") {
  auto inputs = narrow_norm_inputs({2, 21, 30, 30}, at::kBFloat16);
  const auto graph = [](const Tensors& t) { return channel_layer_norm(t[0], t[1], t[2], 1e-6, true); };
  check_fused(inputs, graph);
  check_narrow_threads(inputs, graph);
  inputs[0][1][0][2][3] = std::numeric_limits<float>::quiet_NaN();
  inputs[0][1][0][2][4] = std::numeric_limits<float>::infinity();
  const auto y = run_graph(inputs, at::kBFloat16, graph)[0];
  CHECK(at::isfinite(y).sum().item<int64_t>() == y.numel() - 2 * 21);
}

TEST_CASE("fused operators: what has no kernel on a CPU runs as its parts", "[numeric]") {
  const auto dtype = GENERATE(at::kHalf, at::kDouble);
  CAPTURE(dtype);
  const auto x = random_map({2, 8, 5, 5}, 1).to(dtype);
  CHECK_FALSE(has_passes(x));
  const auto norm = narrow_norm_inputs({2, 8, 5, 5}, dtype);
  CHECK_FALSE(can_fuse(EndOfBlock(8).branch({x, x, norm[1], norm[2]}, {}), x));
  if (dtype == at::kDouble) return;
  const auto type_of = [&](const Tensors& inputs, const Graph& graph) {
    return run_graph(inputs, at::kHalf, graph)[0].scalar_type();
  };
  CHECK(type_of(narrow_squeeze_inputs({2, 8, 5, 5}, at::kHalf), narrow_squeeze) == at::kHalf);
  CHECK(type_of(narrow_gelu_grn_inputs({2, 5, 5, 8}, 8, true, at::kFloat), narrow_gelu_grn) == at::kHalf);
}

}  // namespace
}  // namespace unireplk::ops
