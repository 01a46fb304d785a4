#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

#include "ops/ramp.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/core/error.h"
#include "unireplk/ops/channel_layer_norm.h"
#include "unireplk/ops/drop_path.h"
#include "unireplk/ops/grn.h"
#include "unireplk/ops/normed_branch.h"
#include "unireplk/ops/passes.h"
#include "unireplk/ops/rows.h"
#include "unireplk/ops/squeeze_excite.h"

/// The fused operators of a block in float32 against the graph of their parts in float64.
namespace unireplk::ops {
namespace {

using Catch::Matchers::Contains;
using Tensors = std::vector<at::Tensor>;

/// The output of `graph` and the gradients of its inputs.
Tensors run(const Tensors& inputs, at::ScalarType dtype, const std::function<at::Tensor(const Tensors&)>& graph) {
  Tensors leaves;
  for (const auto& input : inputs) leaves.push_back(input.to(dtype, /*non_blocking=*/false, /*copy=*/true));
  for (const auto& leaf : leaves) leaf.set_requires_grad(true);
  const auto y = graph(leaves);
  y.backward((at::arange(y.numel(), at::kDouble) * 0.61).cos().view(y.sizes()).to(dtype));
  Tensors results{y.detach()};
  for (const auto& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

void check_close(const Tensors& got, const Tensors& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK((got[i] - expected[i]).norm().item<double>() <=
          (i == 0 ? test::kFusedF32 : test::kFusedGradientF32) * expected[i].norm().item<double>() + 1e-6);
  }
}

/// The bits of a graph in float32 with one thread and with three.
void check_threads(const Tensors& inputs, const std::function<at::Tensor(const Tensors&)>& graph) {
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = run(inputs, at::kFloat, graph);
  at::set_num_threads(3);
  const auto three = run(inputs, at::kFloat, graph);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) CHECK(one[i].equal(three[i]));
}

at::Tensor gelu_grn_graph(const Tensors& t) {
  return linear_gelu_grn(t[0], t[1], t[2], t[3], t.size() > 4 ? t[4] : at::Tensor());
}

Tensors gelu_grn_inputs(at::IntArrayRef map, int64_t out, bool with_beta) {
  Tensors inputs{ramp(map, 0.37), ramp({out, map[3]}, 0.71), ramp({out}, 1.3), ramp({1, 1, 1, out}, 0.9) + 0.3};
  if (with_beta) inputs.push_back(ramp({1, 1, 1, out}, 0.2));
  return inputs;
}

TEST_CASE("linear_gelu_grn: equals its parts, with all gradients", "[numeric]") {
  const auto [n, h, w, in, out] = GENERATE(table<int64_t, int64_t, int64_t, int64_t, int64_t>(
      {{2, 3, 5, 4, 16}, {1, 1, 1, 4, 5}, {3, 9, 7, 5, 19}, {2, 20, 21, 7, 300}}));
  const bool with_beta = GENERATE(true, false);
  CAPTURE(out, with_beta);
  const auto inputs = gelu_grn_inputs({n, h, w, in}, out, with_beta);
  const auto parts = [](const Tensors& t) {
    return grn(at::gelu(at::linear(t[0], t[1], t[2])), t[3], t.size() > 4 ? t[4] : at::Tensor());
  };
  check_close(run(inputs, at::kFloat, gelu_grn_graph), run(inputs, at::kDouble, parts));
}

TEST_CASE("linear_gelu_grn: a channel of zeros, no images, and what it refuses", "[numeric]") {
  auto inputs = gelu_grn_inputs({2, 3, 3, 4}, 8, true);
  inputs[1][2].zero_();
  inputs[2][2].zero_();  // h is 0, and so is its norm
  for (const auto& result : run(inputs, at::kFloat, gelu_grn_graph)) CHECK(at::isfinite(result).all().item<bool>());
  const auto none = run(gelu_grn_inputs({0, 3, 3, 4}, 8, true), at::kFloat, gelu_grn_graph);
  CHECK(none[0].numel() == 0);
  CHECK(none[3].abs().max().item<double>() == 0);
  const auto x = at::zeros({1, 2, 2, 4}), weight = at::zeros({8, 4}), bias = at::zeros({8});
  CHECK_THROWS_WITH(linear_gelu_grn(x, weight, bias, at::zeros({1, 1, 1, 4}), {}), Contains("expected [1, 1, 1, 8]"));
  const auto gamma = at::ones({1, 1, 1, 8}).requires_grad_();
  const auto y = linear_gelu_grn(x + 1, weight + 1, bias, gamma, {});
  CHECK_THROWS_WITH(torch::autograd::grad({y.square().sum()}, {gamma}, {}, std::nullopt, true),
                    Contains("create_graph"));
}

TEST_CASE("channel_layer_norm: equals its definition in float64, with all gradients", "[numeric]") {
  const auto [n, c, h, w] = GENERATE(
      table<int64_t, int64_t, int64_t, int64_t>({{2, 8, 3, 5}, {1, 4, 1, 1}, {3, 19, 9, 7}, {2, 160, 14, 14}}));
  const auto layout = GENERATE(at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous);
  const Tensors inputs{ramp({n, c, h, w}, 0.37).contiguous(layout), ramp({c}, 0.9) + 0.3, ramp({c}, 0.2)};
  const bool then_gelu = GENERATE(false, true);
  const auto graph = [=](const Tensors& t) { return channel_layer_norm(t[0], t[1], t[2], 1e-6, then_gelu); };
  check_close(run(inputs, at::kFloat, graph), run(inputs, at::kDouble, graph));
  check_threads(inputs, graph);
  const auto weight = at::ones({c}).requires_grad_();
  const auto y = channel_layer_norm(at::zeros({n, c, h, w}), weight, at::ones({c}), 1e-6);
  CHECK_THROWS_WITH(torch::autograd::grad({y.square().sum()}, {weight}, {}, std::nullopt, true),
                    Contains("create_graph"));
}

at::Tensor squeeze_graph(const Tensors& t) { return squeeze_excite(t[0], {t[1], t[2]}, {t[3], t[4]}); }

Tensors squeeze_inputs(at::IntArrayRef map, int64_t inner) {
  const int64_t c = map[1];
  return {ramp(map, 0.37), ramp({inner, c}, 0.71), ramp({inner}, 1.3), ramp({c, inner}, 0.9), ramp({c}, 0.4)};
}

TEST_CASE("squeeze_excite: equals its definition, with all gradients", "[numeric]") {
  const auto [n, c, h, w] = GENERATE(
      table<int64_t, int64_t, int64_t, int64_t>({{2, 8, 3, 5}, {1, 4, 1, 1}, {3, 19, 9, 7}, {2, 160, 14, 14}}));
  const auto layout = GENERATE(at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous);
  auto inputs = squeeze_inputs({n, c, h, w}, std::max<int64_t>(c / 4, 1));
  const auto definition = [](const Tensors& t) {
    const auto inner = (t[0].mean({2, 3}).mm(t[1].t()) + t[2]).relu();
    return t[0] * (inner.mm(t[3].t()) + t[4]).sigmoid().unsqueeze(-1).unsqueeze(-1);
  };
  inputs[0] = inputs[0].contiguous(layout);
  check_close(run(inputs, at::kFloat, squeeze_graph), run(inputs, at::kDouble, definition));
  check_close(run(inputs, at::kDouble, squeeze_graph), run(inputs, at::kDouble, definition));
}

TEST_CASE("squeeze_excite: threads, not-a-number, shapes that do not fit", "[numeric]") {
  check_threads(squeeze_inputs({3, 80, 30, 30}, 20), squeeze_graph);
  auto inputs = squeeze_inputs({2, 8, 3, 3}, 2);
  inputs[0][1][0][0][0] = std::numeric_limits<double>::quiet_NaN();
  const auto y = run(inputs, at::kFloat, squeeze_graph)[0];
  CHECK(at::isfinite(y[0]).all().item<bool>());
  CHECK(at::isnan(y[1]).all().item<bool>());
  CHECK_THROWS_WITH(
      squeeze_excite(at::zeros({1, 8, 2, 2}), {at::zeros({2, 7}), at::zeros({2})}, {at::zeros({8, 2}), at::zeros({8})}),
      Contains("weights [2, 7] and [8, 2] do not fit x [1, 8, 2, 2]"));
}

struct Tail {
  explicit Tail(at::ScalarType dtype, int64_t channels)
      : mean(ramp({channels}, 0.3).to(dtype)), variance((ramp({channels}, 0.2) + 2).to(dtype)) {}

  /// \param t  x, y, weight and bias of the norm, layer scale.
  NormedBranch branch(const Tensors& t, const at::Tensor& mask) const {
    return {.y = t[1],
            .norm = {.weight = t[2], .bias = t[3], .running_mean = mean, .running_var = variance},
            .eps = 1e-5,
            .momentum = 0.1,
            .layer_scale = t.size() > 4 ? t[4] : at::Tensor(),
            .mask = mask};
  }

  at::Tensor mean, variance;
};

Tensors tail_inputs(at::IntArrayRef map, bool with_scale) {
  const int64_t c = map[1];
  Tensors inputs{ramp(map, 0.37), ramp(map, 0.53) * 2 + 3, ramp({c}, 0.71) + 1.5, ramp({c}, 1.3)};
  if (with_scale) inputs.push_back(ramp({c}, 0.9) + 0.2);
  return inputs;
}

TEST_CASE("add_normed_branch: equals norm, layer scale, mask and sum, with statistics and gradients", "[numeric]") {
  const auto [n, c, h, w] = GENERATE(
      table<int64_t, int64_t, int64_t, int64_t>({{2, 8, 3, 5}, {9, 4, 1, 1}, {3, 19, 9, 7}, {2, 160, 14, 14}}));
  const bool with_scale = GENERATE(true, false), with_mask = GENERATE(true, false), update = GENERATE(true, false);
  CAPTURE(c, with_scale, with_mask, update);
  const auto inputs = tail_inputs({n, c, h, w}, with_scale);
  const auto mask_of = [&, images = n](at::ScalarType dtype) {
    return with_mask ? at::arange(images, dtype).view({-1, 1, 1, 1}) : at::Tensor();  // the first image is dropped
  };
  Tail fused(at::kFloat, c), judge(at::kDouble, c);
  const auto got = run(inputs, at::kFloat, [&](const Tensors& t) {
    return add_normed_branch(t[0], fused.branch(t, mask_of(at::kFloat)), update);
  });
  const auto expected = run(inputs, at::kDouble, [&](const Tensors& t) {
    const auto y = at::batch_norm(t[1], t[2], t[3], update ? judge.mean : at::Tensor(),
                                  update ? judge.variance : at::Tensor(), true, 0.1, 1e-5, false);
    return add_branch(t[0], y, t.size() > 4 ? t[4] : at::Tensor(), mask_of(at::kDouble));
  });
  check_close(got, expected);
  CHECK((fused.mean - judge.mean).abs().max().item<double>() < 1e-6);
  CHECK((fused.variance - judge.variance).abs().max().item<double>() < 1e-5);
}

TEST_CASE("add_normed_branch: statistics far from zero, threads, and what it leaves to others", "[numeric]") {
  auto inputs = tail_inputs({3, 80, 30, 30}, true);
  check_threads(inputs,
                [](const Tensors& t) { return add_normed_branch(t[0], Tail(at::kFloat, 80).branch(t, {}), true); });
  inputs[1].add_(1000);
  Tail far(at::kFloat, 80);
  Tensors narrow;
  for (const auto& input : inputs) narrow.push_back(input.to(at::kFloat));
  add_normed_branch(narrow[0], far.branch(narrow, {}), true);
  const auto expected = inputs[1].var(at::IntArrayRef{0, 2, 3});
  CHECK(((far.variance - 0.9 * (ramp({80}, 0.2) + 2)) / 0.1 - expected).abs().max().item<double>() < 1e-3);

  const auto one = tail_inputs({1, 4, 1, 1}, true);
  CHECK_FALSE(can_fuse(Tail(at::kFloat, 4).branch(one, {}), one[0]));
  CHECK_FALSE(can_fuse(Tail(at::kDouble, 80).branch(inputs, {}), inputs[0]));
  narrow[2] = at::ones({79});
  CHECK_THROWS_WITH(add_normed_branch(narrow[0], far.branch(narrow, {}), false), Contains("vector [79] does not fit"));
}

TEST_CASE("passes: sums over maps without pixels are 0", "[numeric]") {
  const auto map = at::empty({3, 5, 0, 7}).contiguous(at::MemoryFormat::ChannelsLast);
  std::vector<at::Tensor> before(8, at::full({3, 5}, 7.0F));  // in memory that tables get, most likely
  for (auto& table : before) table = table.clone();
  before.clear();
  const auto [sums, products] = passes_for(map)->sum_rows(map_rows(map), map, map, at::zeros({5}));
  CHECK(sums.equal(at::zeros({3, 5})));
  CHECK(products.equal(at::zeros({3, 5})));
}

TEST_CASE("add_normed_branch: counts the batches that its norm has seen", "[numeric]") {
  Tensors inputs;
  for (const auto& input : tail_inputs({2, 8, 3, 5}, true)) inputs.push_back(input.to(at::kFloat));
  const Tail tail(at::kFloat, 8);
  auto branch = tail.branch(inputs, {});
  branch.norm.batches = at::full({}, 5, at::kLong);
  const auto count_version = branch.norm.batches._version(), mean_version = tail.mean._version();
  for (const bool update : {true, false, true}) add_normed_branch(inputs[0], branch, update);
  CHECK(branch.norm.batches.item<int64_t>() == 7);
  CHECK(branch.norm.batches._version() == count_version + 2);
  CHECK(tail.mean._version() == mean_version + 2);
  branch.norm.batches = at::zeros({});
  CHECK_FALSE(can_fuse(branch, inputs[0]));
  branch.norm.batches = at::zeros({2}, at::kLong);
  CHECK_FALSE(can_fuse(branch, inputs[0]));
  branch.norm = {.weight = inputs[2], .bias = inputs[3], .running_mean = {}, .running_var = {}};
  add_normed_branch(inputs[0], branch, false);
  CHECK_THROWS_WITH(add_normed_branch(inputs[0], branch, true), Contains("no running statistics to move"));
}

TEST_CASE("add_normed_branch: vectors and masks of any strides", "[numeric]") {
  auto inputs = tail_inputs({3, 8, 3, 5}, true);
  const auto mask = (at::arange(3) + 1).view({-1, 1, 1, 1}).to(at::kFloat);
  const auto graph = [&](const at::Tensor& of_images) {
    return [=](const Tensors& t) { return add_normed_branch(t[0], Tail(at::kFloat, 8).branch(t, of_images), true); };
  };
  const auto expected = run(inputs, at::kFloat, graph(mask));
  const auto spread = [](const at::Tensor& values) { return at::stack({values, values + 1}, -1).select(-1, 0); };
  for (size_t i = 2; i < inputs.size(); ++i) inputs[i] = spread(inputs[i]);
  const auto got = run(inputs, at::kFloat, [&](const Tensors& t) {
    Tensors strided = t;
    for (size_t i = 2; i < strided.size(); ++i) strided[i] = spread(t[i]);
    return graph(spread(mask))(strided);
  });
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i].equal(expected[i]));
  Tensors narrow;
  for (const auto& input : inputs) narrow.push_back(input.to(at::kFloat));
  auto branch = Tail(at::kFloat, 8).branch(narrow, {});
  branch.norm.running_mean = spread(branch.norm.running_mean);
  CHECK_FALSE(can_fuse(branch, narrow[0]));
}

}  // namespace
}  // namespace unireplk::ops
