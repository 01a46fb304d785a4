#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/golden.h"
#include "unireplk/nn/layers.h"

namespace unireplk::nn {
namespace {

/// A convolution with every tap, as ATen computes it.
at::Tensor with_every_tap(const Conv2d& conv, const at::Tensor& x) {
  const auto& o = conv->options;
  const int64_t padding = o.dilation * (o.kernel_size - 1) / 2;
  return at::conv2d(x, conv->weight, conv->bias, {o.stride, o.stride}, {padding, padding}, {o.dilation, o.dilation},
                    o.groups);
}

TEST_CASE("Conv2d: leaving out taps that meet padding alone changes nothing", "[numeric]") {
  const auto [height, width] =
      GENERATE(table<int64_t, int64_t>({{1, 1}, {1, 9}, {2, 2}, {3, 5}, {4, 4}, {6, 2}, {7, 7}, {12, 13}, {14, 30}}));
  const auto [kernel, dilation, stride] =
      GENERATE(table<int64_t, int64_t, int64_t>({{13, 1, 1}, {7, 2, 1}, {3, 5, 1}, {3, 1, 2}, {1, 1, 1}, {5, 3, 2}}));
  CAPTURE(height, width, kernel, dilation, stride);
  Conv2d conv(Conv2dOptions{.in_channels = 4,
                            .out_channels = 4,
                            .kernel_size = kernel,
                            .stride = stride,
                            .dilation = dilation,
                            .groups = 4,
                            .tensor = at::kDouble});
  test::fill({{"conv.weight", conv->weight}});
  const auto x = test::formula_input({2, 4, height, width}).to(at::kDouble).requires_grad_();
  const auto judge = with_every_tap(conv, x);
  const auto weights = test::formula_input(judge.sizes(), "weights").to(at::kDouble);
  (judge * weights).sum().backward();
  const auto judge_x = x.grad().clone(), judge_weight = conv->weight.grad().clone();
  x.mutable_grad().reset();
  conv->weight.mutable_grad().reset();

  const auto y = conv->forward(x);
  REQUIRE(y.sizes() == judge.sizes());
  (y * weights).sum().backward();
  CHECK(at::allclose(y, judge, 1e-12, 1e-12));
  CHECK(at::allclose(x.grad(), judge_x, 1e-12, 1e-12));
  CHECK(at::allclose(conv->weight.grad(), judge_weight, 1e-12, 1e-12));
}

TEST_CASE("Conv2d: packed weights follow every change of the weights", "[numeric]") {
  Conv2d conv(Conv2dOptions{.in_channels = 3, .out_channels = 8, .kernel_size = 3, .stride = 2});
  test::fill({{"conv.weight", conv->weight}, {"conv.bias", conv->bias}});
  conv->eval();
  const auto x = test::formula_input({2, 3, 11, 9}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::NoGradGuard no_graph;
  const auto judge = [&] { return with_every_tap(conv, x); };
  const auto first = conv->forward(x);
  CHECK(at::allclose(first, judge(), 1e-5, 1e-6));
  CHECK(at::equal(conv->forward(x), first));
  SECTION("weight in place") { conv->weight.mul_(2); }
  SECTION("bias in place") { conv->bias.add_(1); }
  SECTION("weight replaced behind the parameter") { conv->weight.set_data(conv->weight.detach() * 3); }
  CHECK_FALSE(at::equal(conv->forward(x), first));
  CHECK(at::allclose(conv->forward(x), judge(), 1e-5, 1e-6));
}

}  // namespace
}  // namespace unireplk::nn
