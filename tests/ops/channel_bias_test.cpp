#include "unireplk/ops/channel_bias.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "ops/gpu.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/core/error.h"

namespace unireplk::ops {
namespace {

/// A result and its gradients against float64.
void check_bias(const at::Tensor& values) {
  const auto y = values.detach().clone().requires_grad_();
  const auto bias = random_map({1, y.size(1), 1, 1}, 2).flatten().to(y.device()).requires_grad_();
  const auto expected = (y.detach().to(at::kDouble) + bias.detach().to(at::kDouble).view({1, -1, 1, 1}));
  const auto result = add_channel_bias(y, bias);
  CHECK(result.scalar_type() == y.scalar_type());
  CHECK(result.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK(result.detach().equal(expected.to(at::kFloat).to(y.scalar_type())));
  const auto dy = random_map(y.sizes(), 3).to(y.options());
  result.backward(dy);
  CHECK(y.grad().equal(dy));
  CHECK(bias.grad().scalar_type() == at::kFloat);
  const auto sums = dy.to(at::kDouble).sum(at::IntArrayRef{0, 2, 3});
  const auto sizes = dy.to(at::kDouble).abs().sum(at::IntArrayRef{0, 2, 3});
  CHECK((bias.grad() - sums).abs().le(1e-5 * sizes).all().item<bool>());
  CHECK(error_of(bias.grad(), sums) <= test::kFusedGradientF32);
}

TEST_CASE("add_channel_bias: adds a bias to each channel, and adds up its gradient", "[numeric]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const auto [n, c, h, w] =
      GENERATE(table<int64_t, int64_t, int64_t, int64_t>({{2, 16, 5, 7}, {1, 6, 3, 3}, {3, 33, 29, 4}, {1, 1, 1, 1}}));
  CAPTURE(dtype, n, c, h, w);
  check_bias(random_map({n, c, h, w}, 1).to(dtype));
  check_bias(random_map({n, c, h, w}, 1).to(dtype).contiguous());
}

TEST_CASE("add_channel_bias: on a GPU, adds a bias to each channel, and adds up its gradient", "[cuda]") {
  if (is_skipped()) return;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto channels = GENERATE(40, 33);
  CAPTURE(dtype, channels);
  check_bias(gpu_map({3, channels, 28, 27}, 1, dtype));
}

TEST_CASE("add_channel_bias: no images, gradients of gradients, and what does not fit") {
  const auto bias = at::ones({4}).requires_grad_();
  const auto none = add_channel_bias(at::zeros({0, 4, 3, 3}), bias);
  none.sum().backward();
  CHECK(none.sizes() == at::IntArrayRef{0, 4, 3, 3});
  CHECK(bias.grad().equal(at::zeros({4})));
  const auto y = random_map({2, 4, 3, 3}, 1);
  const auto once =
      torch::autograd::grad({add_channel_bias(y, bias).pow(3).sum()}, {bias}, {}, std::nullopt, /*create_graph=*/true);
  const auto twice = torch::autograd::grad({once[0].sum()}, {bias})[0];
  CHECK(at::allclose(twice, (6 * (y + 1)).sum(at::IntArrayRef{0, 2, 3}), 1e-4, 1e-4));
  CHECK_THROWS_WITH(add_channel_bias(y, at::ones({5})), Catch::Contains("bias [5] does not fit y [2, 4, 3, 3]"));
  CHECK_THROWS_AS(add_channel_bias(y.to(at::kDouble), bias), ContractError);
  CHECK_FALSE(leaves_out_bias(y, bias));  // on a CPU, whose convolutions take it
}

}  // namespace
}  // namespace unireplk::ops
