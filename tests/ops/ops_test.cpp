#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "ops/ramp.h"
#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/ops/channel_layer_norm.h"
#include "unireplk/ops/checkpoint.h"
#include "unireplk/ops/drop_path.h"
#include "unireplk/ops/grn.h"

namespace unireplk::ops {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("grn: equals its definition", "[numeric]") {
  const auto x = ramp({2, 3, 5, 8});
  const auto gamma = ramp({1, 1, 1, 8}) + 0.3, beta = ramp({1, 1, 1, 8}) * 2;
  const auto norms = x.pow(2).sum(at::IntArrayRef{1, 2}, true).sqrt();
  const auto relative = norms / (norms.mean(-1, true) + 1e-6);
  CHECK(gap(grn(x, gamma, beta), (gamma * relative + 1) * x + beta) < 1e-14);
  CHECK(gap(grn(x, gamma, {}), (gamma * relative + 1) * x) < 1e-14);
}

TEST_CASE("grn: gradients equal central differences, and are finite where a channel is 0", "[numeric]") {
  auto x = ramp({2, 2, 2, 4});
  x.select(3, 1).zero_();
  const auto gamma = ramp({1, 1, 1, 4}) + 0.3, beta = ramp({1, 1, 1, 4});
  const auto weights = ramp({2, 2, 2, 4}) + 0.1;
  const auto value = [&](const at::Tensor& at_x) { return (grn(at_x, gamma, beta) * weights).sum(); };
  auto leaf = x.clone().requires_grad_();
  value(leaf).backward();
  CHECK(at::isfinite(leaf.grad()).all().item<bool>());
  for (const int64_t i : {0, 7, 14, 31}) {
    if (i % 4 == 1) continue;  // a norm has no derivative at 0
    auto up = x.clone(), down = x.clone();
    up.view(-1)[i] += 1e-6;
    down.view(-1)[i] -= 1e-6;
    const double expected = ((value(up) - value(down)) / 2e-6).item<double>();
    CHECK(leaf.grad().view(-1)[i].item<double>() == Approx(expected).epsilon(1e-3).margin(1e-5));
  }
}

TEST_CASE("grn: statistics of half precision maps are taken in float32", "[numeric]") {
  const auto x =
      (ramp({1, 64, 64, 4}, 0.37, at::kFloat) * 300).to(at::kHalf);  // sums of squares leave the range of half
  const auto gamma = at::ones({1, 1, 1, 4});
  const auto y = grn(x, gamma, {});
  CHECK(y.scalar_type() == at::kHalf);
  CHECK(gap(y.to(at::kFloat), grn(x.to(at::kFloat), gamma, {})) < 1.0);  // values reach 600: one unit is 0.5
}

TEST_CASE("grn: refuses parameters of another width", "[numeric]") {
  CHECK_THROWS_WITH(grn(ramp({1, 2, 2, 4}), ramp({1, 1, 1, 3}), {}),
                    Contains("gamma [1, 1, 1, 3] does not fit x [1, 2, 2, 4]: expected [1, 1, 1, 4]"));
  CHECK_THROWS_AS(grn(ramp({2, 4}), ramp({1, 1, 1, 4}), {}), ContractError);
}

TEST_CASE("channel_layer_norm: normalises every pixel and keeps channels_last", "[numeric]") {
  const auto x = ramp({2, 6, 3, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  const auto weight = ramp({6}) + 1, bias = ramp({6});
  const auto y = channel_layer_norm(x, weight, bias, 1e-6);
  const auto mean = x.mean(1, true), var = x.var(at::IntArrayRef{1}, /*unbiased=*/false, true);
  const auto expected = (x - mean) / (var + 1e-6).sqrt() * weight.view({1, 6, 1, 1}) + bias.view({1, 6, 1, 1});
  CHECK(gap(y, expected) < 1e-13);
  CHECK(gap(channel_layer_norm(x, weight, bias, 1e-6, /*then_gelu=*/true), at::gelu(expected)) < 1e-13);
  CHECK(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK_THROWS_WITH(channel_layer_norm(x, ramp({5}), ramp({5}), 1e-6),
                    Contains("do not fit x [2, 6, 3, 4]: expected [6]"));
}

TEST_CASE("drop_path_mask: keeps the share it should, scaled, and repeats with its seed", "[numeric]") {
  const auto like = at::zeros({20000, 1, 1, 1});
  const auto mask = drop_path_mask(like, 0.25, at::make_generator<at::CPUGeneratorImpl>(7));
  const auto kept = mask.ne(0);
  CHECK(kept.to(at::kFloat).mean().item<double>() == Approx(0.75).margin(0.013));  // four standard deviations
  CHECK(gap(mask.masked_select(kept), at::full({1}, 1 / 0.75)) < 1e-6);
  CHECK(at::equal(mask, drop_path_mask(like, 0.25, at::make_generator<at::CPUGeneratorImpl>(7))));
  CHECK_FALSE(at::equal(mask, drop_path_mask(like, 0.25, at::make_generator<at::CPUGeneratorImpl>(8))));
  CHECK_THROWS_WITH(drop_path_mask(like, 1.0, at::make_generator<at::CPUGeneratorImpl>(7)),
                    Contains("expected a rate in [0, 1), got 1"));
}

TEST_CASE("add_branch: scales by channel and by sample", "[numeric]") {
  const auto x = ramp({2, 3, 2, 2}), branch = ramp({2, 3, 2, 2}) + 1, scale = ramp({3}) + 2;
  const auto mask = at::tensor({0.0, 2.0}).to(at::kDouble).view({2, 1, 1, 1});
  CHECK(gap(add_branch(x, branch, scale, mask), x + branch * scale.view({1, 3, 1, 1}) * mask) < 1e-14);
  CHECK(gap(add_branch(x, branch, {}, mask), x + branch * mask) < 1e-14);
  CHECK(gap(add_branch(x, branch, scale, {}), x + branch * scale.view({1, 3, 1, 1})) < 1e-14);
  CHECK(gap(add_branch(x, branch, {}, {}), x + branch) == 0);
  CHECK_THROWS_WITH(add_branch(x, branch, ramp({4}), {}), Contains("layer scale [4] does not fit x [2, 3, 2, 2]"));
}

TEST_CASE("checkpoint: same output and gradients, run twice, told apart", "[numeric]") {
  std::vector<bool> runs;
  auto weight = ramp({3}).requires_grad_();
  const auto part = [&](const at::Tensor& x, bool recomputing) {
    runs.push_back(recomputing);
    return (x * weight).sin() * weight;
  };
  auto x = ramp({4, 3}).requires_grad_();
  part(x, false).sum().backward();
  const auto expected_x = x.grad().clone(), expected_weight = weight.grad().clone();
  runs.clear();

  SECTION("x and parameters") {
    x.mutable_grad().zero_();
    weight.mutable_grad().zero_();
    checkpoint(part, x, {weight}).sum().backward();
    CHECK(runs == std::vector<bool>{false, true});
    CHECK(gap(x.grad(), expected_x) < 1e-15);
    CHECK(gap(weight.grad(), expected_weight) < 1e-15);
  }
  SECTION("x needs no gradient, parameters do") {
    weight.mutable_grad().zero_();
    checkpoint(part, x.detach(), {weight}).sum().backward();
    CHECK(gap(weight.grad(), expected_weight) < 1e-15);
  }
  SECTION("parameters accumulate over two calls") {
    weight.mutable_grad().zero_();
    for (int i = 0; i < 2; ++i) checkpoint(part, x, {weight}).sum().backward();
    CHECK(gap(weight.grad(), 2 * expected_weight) < 1e-14);
  }
}

}  // namespace
}  // namespace unireplk::ops
