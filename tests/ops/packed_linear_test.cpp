#include "unireplk/ops/packed_linear.h"

#include <ATen/ATen.h>

#include "ops/ramp.h"
#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/ops/grn.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

struct Layer {
  at::Tensor weight, bias;

  Layer(int64_t in, int64_t out, at::ScalarType dtype)
      : weight(at::randn({out, in}, dtype) * 0.2), bias(at::randn({out}, dtype)) {}

  PackedLinear packed(int64_t rows) const { return {weight, bias, rows}; }
};

TEST_CASE("PackedLinear: equals at::linear and at::gelu, whatever rows it was packed for", "[numeric]") {
  at::manual_seed(1);
  const auto [in, out] = GENERATE(table<int64_t, int64_t>({{1, 1}, {3, 17}, {40, 160}, {160, 40}, {97, 33}}));
  const int64_t images = GENERATE(0, 1, 3);
  CAPTURE(in, out, images);
  const Layer layer(in, out, at::kFloat);
  const auto x = at::randn({images, 5, 3, in});
  const auto expected = at::linear(x.to(at::kDouble), layer.weight.to(at::kDouble), layer.bias.to(at::kDouble));
  for (const int64_t rows : {1, 15, 1000}) {
    const auto packed = layer.packed(rows);
    const auto y = packed.apply(x), activated = packed.apply_with_gelu(x);
    REQUIRE(y.sizes() == expected.sizes());
    REQUIRE(activated.sizes() == expected.sizes());
    if (images == 0) continue;
    CHECK(gap(y, expected) < 2e-5);
    CHECK(gap(activated, at::gelu(expected)) < 2e-5);
  }
}

TEST_CASE("PackedLinear: other types and autocast take the plain operators", "[numeric]") {
  at::manual_seed(2);
  const Layer wide(6, 5, at::kDouble), narrow(6, 5, at::kFloat);
  const auto x = at::randn({4, 6}, at::kDouble);
  CHECK(at::equal(wide.packed(4).apply(x), at::linear(x, wide.weight, wide.bias)));
  CHECK(at::equal(wide.packed(4).apply_with_gelu(x), at::gelu(at::linear(x, wide.weight, wide.bias))));
  const AutocastGuard guard({.device = at::kCPU, .enabled = true, .dtype = at::kBFloat16, .keeps_casts = false});
  const auto y = narrow.packed(4).apply(x.to(at::kFloat));
  CHECK(y.scalar_type() == at::kBFloat16);
}

TEST_CASE("PackedLinear: refuses a bias of another length") {
  CHECK_THROWS_AS(PackedLinear(at::zeros({3, 2}), at::zeros({2}), 1), ContractError);
}

TEST_CASE("grn_in_place: equals grn, in the memory of its argument", "[numeric]") {
  at::manual_seed(3);
  const auto [images, side, channels] =
      GENERATE(table<int64_t, int64_t, int64_t>({{1, 1, 4}, {2, 5, 19}, {3, 40, 300}, {0, 2, 8}}));
  CAPTURE(images, channels);
  auto x = at::randn({images, side, side, channels});
  x.select(3, 1).zero_();  // a norm of 0
  const auto gamma = at::randn({1, 1, 1, channels});
  const auto expected = grn(x.to(at::kDouble), gamma.to(at::kDouble), {});
  const auto y = grn_in_place(x, gamma);
  CHECK(y.is_same(x));
  if (images > 0) CHECK(gap(y, expected) < 2e-5);
  const auto wide = at::randn({1, 2, 2, channels}, at::kDouble);
  CHECK(at::equal(grn_in_place(wide.clone(), gamma.to(at::kDouble)), grn(wide, gamma.to(at::kDouble), {})));
}

}  // namespace
}  // namespace unireplk::ops
