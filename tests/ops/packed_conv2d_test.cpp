#include "unireplk/ops/packed_conv2d.h"

#include <ATen/ATen.h>

#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

TEST_CASE("PackedConv2d: equals at::conv2d, whatever map it was packed for", "[numeric]") {
  at::manual_seed(1);
  const auto [in, out, kernel, stride, dilation] = GENERATE(table<int64_t, int64_t, int64_t, int64_t, int64_t>(
      {{3, 20, 3, 2, 1}, {40, 80, 3, 2, 1}, {5, 7, 1, 1, 1}, {16, 16, 5, 1, 2}}));
  const bool with_bias = GENERATE(true, false);
  CAPTURE(in, out, kernel, with_bias);
  const auto weight = at::randn({out, in, kernel, kernel}) * 0.2, bias = with_bias ? at::randn({out}) : at::Tensor();
  const auto layout = GENERATE(at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous);
  const PackedConv2d packed(weight, bias, stride, dilation, {2, in, 12, 9});
  for (const auto& [height, width] : {std::pair{12, 9}, {1, 1}, {2, 3}, {31, 28}}) {
    const auto x = at::randn({2, in, height, width}).contiguous(layout);
    REQUIRE(packed.serves(x));
    const int64_t padding = dilation * (kernel / 2);
    const auto wide_bias = with_bias ? bias.to(at::kDouble) : at::Tensor();
    const auto expected = at::conv2d(x.to(at::kDouble), weight.to(at::kDouble), wide_bias, stride, padding, dilation);
    const auto y = packed.apply(x);
    REQUIRE(y.sizes() == expected.sizes());
    CHECK(y.is_contiguous(at::MemoryFormat::ChannelsLast));
    CHECK((y - expected).abs().max().item<double>() < 5e-5);
  }
}

TEST_CASE("PackedConv2d: serves float32 alone") {
  const auto weight = at::ones({2, 3, 3, 3}), x = at::ones({1, 3, 4, 4});
  CHECK_FALSE(PackedConv2d().serves(x));
  CHECK_FALSE(PackedConv2d(weight.to(at::kDouble), {}, 1, 1, x.sizes()).serves(x.to(at::kDouble)));
  const PackedConv2d packed(weight, {}, 1, 1, x.sizes());
  CHECK_FALSE(packed.serves(x.to(at::kBFloat16)));
  CHECK_THROWS_AS(packed.apply(x.to(at::kBFloat16)), ContractError);
  const AutocastGuard guard({.device = at::kCPU, .enabled = true, .dtype = at::kBFloat16, .keeps_casts = false});
  CHECK_FALSE(packed.serves(x));
}

TEST_CASE("PackedConv2d: refuses a bias of another length") {
  CHECK_THROWS_AS(PackedConv2d(at::zeros({3, 2, 3, 3}), at::zeros({2}), 1, 1, {1, 2, 4, 4}), ContractError);
}

}  // namespace
}  // namespace unireplk::ops
