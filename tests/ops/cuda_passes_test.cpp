#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "ops/against_parts.h"
#include "ops/end_of_block.h"
#include "ops/gpu.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/ops/batch_moments.h"
#include "unireplk/ops/channel_layer_norm.h"
#include "unireplk/ops/drop_path.h"
#include "unireplk/ops/grn.h"
#include "unireplk/ops/normed_branch.h"
#include "unireplk/ops/passes.h"
#include "unireplk/ops/rows.h"
#include "unireplk/ops/squeeze_excite.h"
#include "unireplk/tensor/autocast.h"

/// The fused operators of a block on a GPU, under autocast or in float32.
namespace unireplk::ops {
namespace {

at::Tensor random(at::IntArrayRef shape, unsigned seed, at::ScalarType dtype = at::kFloat) {
  at::manual_seed(seed);
  return at::randn(shape).to(at::kCUDA, dtype);
}

TEST_CASE("linear_gelu_grn: on a GPU, against its parts, with all gradients", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto [n, h, w, in, out] = GENERATE(table<int64_t, int64_t, int64_t, int64_t, int64_t>({{2, 3, 5, 4, 16},
                                                                                               {1, 1, 1, 4, 12},
                                                                                               {3, 9, 7, 5, 20},
                                                                                               {2, 20, 21, 7, 320},
                                                                                               {9, 14, 14, 8, 640},
                                                                                               {5, 7, 7, 16, 2560},
                                                                                               {2, 56, 56, 16, 64},
                                                                                               {2, 5, 3, 8, 1037},
                                                                                               {40, 1, 1, 8, 6}}));
  const bool with_beta = GENERATE(true, false);
  CAPTURE(dtype, n, h, w, out, with_beta);
  Tensors inputs{random({n, h, w, in}, 1), random({out, in}, 2) / 2, random({out}, 3), random({1, 1, 1, out}, 4)};
  if (with_beta) inputs.push_back(random({1, 1, 1, out}, 5));
  const auto beta_of = [](const Tensors& t) { return t.size() > 4 ? t[4] : at::Tensor(); };
  check_operator(
      inputs, dtype, [&](const Tensors& t) { return linear_gelu_grn(t[0], t[1], t[2], t[3], beta_of(t)); },
      [&](const Tensors& t) { return grn(at::gelu(at::linear(t[0], t[1], t[2])), t[3], beta_of(t)); });
}

TEST_CASE("linear_gelu_grn: on a GPU, a channel of zeros, the ends of GELU, no images", "[cuda]") {
  if (is_skipped()) return;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const int64_t channels = GENERATE(8, 6);
  CAPTURE(dtype, channels);
  const auto graph = [](const Tensors& t) { return linear_gelu_grn(t[0], t[1], t[2], t[3], t[4]); };
  Tensors inputs{random({2, 3, 3, 4}, 1), random({channels, 4}, 2), random({channels}, 3),
                 random({1, 1, 1, channels}, 4), random({1, 1, 1, channels}, 5)};
  inputs[1].narrow(0, 2, 3).zero_();
  inputs[2][2] = 0;     // h is 0, and so is its norm
  inputs[2][3] = -1e4;  // so it is here
  inputs[2][4] = 200;
  for (const auto& result : run_graph(inputs, dtype, graph)) CHECK(at::isfinite(result).all().item<bool>());
  inputs[0] = inputs[0].slice(0, 0, 0);
  const auto none = run_graph(inputs, dtype, graph);
  CHECK(none[0].numel() == 0);
  for (size_t i = 2; i < none.size(); ++i) CHECK(none[i].eq(0).all().item<bool>());
  inputs[0] = random({2, 3, 3, 4}, 1);
  inputs[0][1][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  const auto y = run_graph(inputs, dtype, graph)[0];
  CHECK(at::isfinite(y[0]).all().item<bool>());
  CHECK(at::isnan(y[1]).all().item<bool>());
}

/// What rounding to a 16-bit type changes values by at most.
at::Tensor half_units(const at::Tensor& values, at::ScalarType dtype) {
  const bool is_half = dtype == at::kHalf;
  const auto exponents = std::get<1>(at::frexp(values)).to(at::kDouble);  // of values of 1/2 to 1
  const auto units = at::exp2(exponents - (is_half ? 12.0 : 9.0));
  return units.clamp_min(is_half ? 0x1p-25 : 0x1p-134);  // of the smallest numbers
}

TEST_CASE("gelu passes: on a GPU, the value and the derivative of each 16-bit number", "[cuda]") {
  if (is_skipped()) return;
  const auto dtype = GENERATE(at::kBFloat16, at::kHalf);
  const int64_t channels = GENERATE(8, 4);
  CAPTURE(dtype, channels);
  const auto z =
      at::arange(-32768, 32768, at::kInt).to(at::kShort).view(dtype).view({1, 1, -1, channels}).to(at::kCUDA);
  const auto floats = z.options().dtype(at::kFloat);
  const auto none = at::zeros({channels}, floats), zeros = at::zeros({1, channels}, floats), ones = zeros + 1;
  const auto passes = passes_for(z);
  const auto value = passes->gelu_scale(rows_of(z), z, none, ones, {}).to(at::kDouble);
  const auto slope = passes->gelu_combine(rows_of(z), at::ones_like(z), ones, z, none, zeros).z.to(at::kDouble);
  const auto x = z.to(at::kDouble), below = at::special_erfc(-x / std::sqrt(2.0)) / 2;
  const auto expected = x * below, density = at::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
  const auto is_finite = at::isfinite(x), is_far = x < -7;
  const auto holds = [&](const at::Tensor& claim, const at::Tensor& where) {
    return (claim | ~(where & is_finite)).all().item<bool>();
  };
  const auto error = (value - expected).abs();
  CHECK(holds(error <= half_units(expected, dtype) * 1.125, ~is_far));
  CHECK(holds((value <= 0) & (value > -1e-11), is_far));
  const auto expected_slope = below + x * density;
  CHECK(holds((slope - expected_slope).abs() <= half_units(expected_slope, dtype) + 6e-6, is_finite));
  CHECK(at::isnan(x).equal(at::isnan(value)));
  CHECK(value.masked_select(x == INFINITY).equal(x.masked_select(x == INFINITY)));
  CHECK(value.masked_select(x == -INFINITY).eq(0).all().item<bool>());
}

TEST_CASE("squeeze_excite: on a GPU, against its parts, with all gradients", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto [n, c, h, w] = GENERATE(table<int64_t, int64_t, int64_t, int64_t>(
      {{2, 8, 3, 5}, {1, 4, 1, 1}, {3, 20, 9, 7}, {1, 6, 30, 31}, {2, 640, 7, 7}, {5, 80, 56, 56}}));
  const bool is_wide = GENERATE(false, true);  // a map that no product came before
  CAPTURE(dtype, n, c, h, w, is_wide);
  const int64_t inner = std::max<int64_t>(c / 4, 1);
  const Tensors inputs{gpu_map({n, c, h, w}, 1, is_wide ? at::kFloat : dtype) + 0.5, random({inner, c}, 2) / 2,
                       random({inner}, 3), random({c, inner}, 4) / 2, random({c}, 5)};
  check_operator(
      inputs, dtype,
      [](const Tensors& t) {
        return squeeze_excite(t[0], {t[1], t[2]}, {t[3], t[4]});
      },
      [](const Tensors& t) {
        const auto means = at::linear(t[0].mean({2, 3}), t[1], t[2]).relu();
        return t[0] * at::linear(means, t[3], t[4]).sigmoid().unsqueeze(-1).unsqueeze(-1);
      });
}

EndOfBlock end_of_block(int64_t channels, at::ScalarType dtype = at::kFloat) {
  return EndOfBlock(channels, at::TensorOptions().device(at::kCUDA).dtype(dtype));
}

TEST_CASE("add_normed_branch: on a GPU, against its parts, with statistics and gradients", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto [n, c, h, w] = GENERATE(table<int64_t, int64_t, int64_t, int64_t>(
      {{2, 8, 3, 5}, {9, 4, 1, 1}, {3, 20, 9, 7}, {1, 12, 30, 31}, {6, 640, 7, 7}, {5, 80, 56, 56}}));
  const bool has_scale = GENERATE(true, false), has_mask = GENERATE(true, false), is_narrow = GENERATE(false, true);
  CAPTURE(dtype, n, c, h, w, has_scale, has_mask, is_narrow);
  Tensors inputs{gpu_map({n, c, h, w}, 1, is_narrow ? dtype : at::kFloat), gpu_map({n, c, h, w}, 2, dtype) * 2 + 3,
                 random({c}, 3) + 1.5, random({c}, 4)};
  if (has_scale) inputs.push_back(random({c}, 5));
  const auto mask_of = [&, images = n](at::ScalarType type) {
    const auto options = at::TensorOptions().device(at::kCUDA).dtype(type);
    return has_mask ? at::arange(images, options).view({-1, 1, 1, 1}) : at::Tensor();  // the first image is dropped
  };
  const auto fused = [&](const Tensors& t) {
    const auto tail = end_of_block(t[0].size(1));
    const auto branch = tail.branch(t, mask_of(at::kFloat));
    REQUIRE(can_fuse(branch, t[0]));
    const auto y = add_normed_branch(t[0], branch, true);
    CHECK(tail.batches.item<int64_t>() == 1);
    auto judge = end_of_block(t[0].size(1), at::kDouble);
    at::batch_norm(t[1].detach().to(at::kDouble), {}, {}, judge.mean, judge.variance, true, kMomentum, kEps, false);
    CHECK(error_of(tail.mean, judge.mean) <= test::kFusedGradientF32);
    CHECK(error_of(tail.variance, judge.variance) <= test::kFusedGradientF32);
    return y;
  };
  check_operator(inputs, dtype, fused, [&](const Tensors& t) {
    const auto y = at::batch_norm(t[1], t[2], t[3], {}, {}, true, kMomentum, kEps, false);
    const bool is_exact = t[0].scalar_type() == at::kDouble;
    return add_branch(t[0], y, t.size() > 4 ? t[4] : at::Tensor(), mask_of(is_exact ? at::kDouble : at::kFloat));
  });
}

TEST_CASE("add_normed_branch: on a GPU, statistics far from zero, an outlier, and left alone", "[cuda]") {
  if (is_skipped()) return;
  const at::NoGradGuard no_graph;
  const int64_t channels = GENERATE(80, 12);
  Tensors inputs{gpu_map({3, channels, 30, 30}, 1), gpu_map({3, channels, 30, 30}, 2) + 1000, random({channels}, 3),
                 random({channels}, 4)};
  inputs[1][0].slice(1, 0, 1).slice(2, 0, 1).add_(3e4);  // the first pixel
  const auto tail = end_of_block(channels), before = end_of_block(channels);
  add_normed_branch(inputs[0], tail.branch(inputs, {}), false);
  CHECK(tail.mean.equal(before.mean));
  CHECK(tail.variance.equal(before.variance));
  add_normed_branch(inputs[0], tail.branch(inputs, {}), true);
  const auto exact = inputs[1].to(at::kDouble);
  const auto statistic = [](const at::Tensor& after, const at::Tensor& old) {
    return (after.to(at::kDouble) - (1 - kMomentum) * old.to(at::kDouble)) / kMomentum;
  };
  CHECK(error_of(statistic(tail.mean, before.mean), exact.mean(at::IntArrayRef{0, 2, 3})) <= 1e-6);
  CHECK(error_of(statistic(tail.variance, before.variance), exact.var(at::IntArrayRef{0, 2, 3})) <= 1e-5);
}

TEST_CASE("add_normed_branch: on a GPU, several ranks come to what one does", "[cuda]") {
  if (is_skipped()) return;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const Tensors inputs{gpu_map({5, 12, 9, 7}, 1), gpu_map({5, 12, 9, 7}, 2, dtype) + 3, random({12}, 3),
                       random({12}, 4)};
  check_two_ranks(inputs);
}

TEST_CASE("channel_layer_norm: on a GPU, against its parts, with all gradients", "[cuda][sanitize]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const auto [n, c, h, w] = GENERATE(table<int64_t, int64_t, int64_t, int64_t>({{2, 8, 3, 5},
                                                                                {1, 4, 1, 1},
                                                                                {3, 20, 9, 7},
                                                                                {2, 6, 31, 30},
                                                                                {2, 40, 56, 56},
                                                                                {2, 160, 14, 14},
                                                                                {3, 640, 7, 7},
                                                                                {1, 1037, 3, 2}}));
  const bool then_gelu = GENERATE(false, true);
  CAPTURE(dtype, n, c, h, w, then_gelu);
  const Tensors inputs{gpu_map({n, c, h, w}, 1, dtype) * 2 + 3, random({c}, 2) + 1, random({c}, 3)};
  check_operator(
      inputs, dtype, [=](const Tensors& t) { return channel_layer_norm(t[0], t[1], t[2], 1e-6, then_gelu); },
      [=](const Tensors& t) {
        const auto nhwc = t[0].permute({0, 2, 3, 1});
        const auto y = at::layer_norm(nhwc, t[1].sizes(), t[1], t[2], 1e-6).permute({0, 3, 1, 2});
        return then_gelu ? at::gelu(y) : y;
      });
}

/// All that lies between passes, of tables [images, channels] on a device.
Tensors algebra(const at::Device& device, int64_t images, int64_t channels, bool has_factors) {
  unsigned seed = 0;
  const auto values = [&](at::IntArrayRef shape) {
    at::manual_seed(++seed);
    return at::randn(shape).to(device);
  };
  const int64_t inner = channels / 4, pixels = 49;
  const auto passes = passes_for(at::empty({1}, at::TensorOptions().device(device)));
  const auto norms = values({images, channels}).square_();  // squares of them
  const auto gamma = values({channels}), products = values({images, channels});
  const auto factor = passes->grn_factors(norms, gamma);
  const auto grn = passes->grn_gradients(products, norms, gamma);

  Passes::TailNorm norm{.weight = values({channels}), .bias = values({channels}), .scale = {}, .mask = {}};
  if (has_factors) norm.scale = values({channels}), norm.mask = values({images});
  const Passes::Moments moments{.mean = values({channels}), .variance = values({channels}).square_()};
  const NormTensors moving{.weight = {},
                           .bias = {},
                           .running_mean = values({channels}),
                           .running_var = values({channels}),
                           .batches = at::zeros({}, at::kLong).to(device)};
  const auto forward =
      passes->tail_factors(images, norm, moments, 99, 1e-5, {.norm = running_norm("algebra", moving), .momentum = 0.1});
  const auto totals = passes->tail_sums({values({images, channels}), products}, norm.mask, forward.inverse);
  const auto backward = passes->tail_gradients(images, norm, forward.inverse, totals, 99, 2);

  const Passes::Gate gate{.down_weight = values({inner, channels}) / 10,
                          .down_bias = values({inner}),
                          .up_weight = values({channels, inner}) / 10,
                          .up_bias = values({channels})};
  const auto gates = passes->squeeze_gate(values({images, channels}) * pixels, pixels, gate);
  const auto squeeze = passes->squeeze_gate_backward(products, pixels, gates, gate);
  Tensors all{norms,
              factor,
              grn.factor,
              grn.slope,
              grn.gamma,
              moving.running_mean,
              moving.running_var,
              forward.inverse,
              forward.slope,
              forward.shift,
              totals,
              backward.factor,
              backward.slope,
              backward.shift,
              backward.weight,
              backward.bias,
              gates.means,
              gates.inner,
              gates.gate,
              squeeze.shift,
              squeeze.gate.down_weight,
              squeeze.gate.down_bias,
              squeeze.gate.up_weight,
              squeeze.gate.up_bias,
              moving.batches.to(at::kFloat)};
  if (has_factors) all.push_back(backward.scale);
  return all;
}

void check_algebra(int64_t images, int64_t channels, bool has_factors) {
  CAPTURE(images, channels, has_factors);
  const auto expected = algebra(at::kCPU, images, channels, has_factors);
  const auto got = algebra(at::kCUDA, images, channels, has_factors);
  const auto again = algebra(at::kCUDA, images, channels, has_factors);
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i].equal(again[i]));
    CHECK(error_of(got[i], expected[i].to(at::kCUDA), 1e-6) <= test::kFusedGradientF32);
  }
}

TEST_CASE("passes: on a GPU, the algebra between them is that of the CPU", "[cuda][sanitize]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto [images, channels] = GENERATE(
      table<int64_t, int64_t>({{1, 2}, {2, 5}, {9, 80}, {128, 640}, {3, 1037}, {600, 36}, {0, 12}, {1, 2560}}));
  check_algebra(images, channels, GENERATE(true, false));
}

TEST_CASE("passes: on a GPU, the algebra between them for very many images", "[cuda]") {
  if (is_skipped()) return;
  const Strict strict;
  check_algebra(70000, 3, GENERATE(true, false));
}

/// All passes over maps of a type on a device. They take maps as they are, and so no product of a library.
Tensors over_maps(const at::Device& device, const Passes::Shape& shape, at::ScalarType type) {
  unsigned seed = 0;
  const auto values = [&](at::IntArrayRef sizes) {
    at::manual_seed(++seed);
    return at::randn(sizes).to(device);
  };
  const auto map = [&] { return values({shape.images, shape.pixels, shape.channels}).to(type); };
  const auto vector = [&] { return values({shape.channels}); };
  const auto table = [&] { return values({shape.images, shape.channels}); };
  const auto x = map(), dy = map(), z = map(), wide = map().to(at::kFloat);
  const auto passes = passes_for(x);
  Tensors all;
  const auto keep = [&](const auto&... tensors) { (all.push_back(tensors), ...); };

  const auto centre = vector(), bias = vector(), factor = table(), slope = table(), shift = table();
  const auto sums = passes->sum_rows(shape, dy, x, centre), of_wide = passes->sum_rows(shape, wide, x, centre);
  const auto moments = passes->row_moments(shape, x);
  keep(passes->sum_rows(shape, x, {}, {}).sums, sums.sums, sums.products, of_wide.sums, of_wide.products, moments.mean,
       moments.variance);
  for (const auto& a : {dy, wide}) {
    const auto to = at::empty_like(a);
    passes->combine_rows(shape, {.a = a, .factor = factor, .b = x, .centre = centre, .slope = slope, .shift = shift},
                         to);
    const auto sum = at::empty_like(a);
    passes->combine_rows(shape, {.a = a, .b = x}, sum);
    keep(to, sum);
  }
  const auto scaled = at::empty_like(x);
  passes->combine_rows(shape, {.a = x, .factor = factor}, scaled);

  const auto products = passes->gelu_products(shape, dy, z, bias);
  const auto gelu = passes->gelu_combine(shape, dy, factor, z, bias, slope);
  keep(scaled, passes->gelu_squares(shape, z, bias), passes->gelu_scale(shape, z, bias, factor, bias),
       products.products, products.sums, gelu.z, gelu.bias);

  const auto image = x.view({shape.images, shape.pixels, 1, shape.channels}).permute({0, 3, 1, 2});
  const auto gradient = wide.view({shape.images, shape.pixels, 1, shape.channels}).permute({0, 3, 1, 2});
  for (const bool then_gelu : {false, true}) {
    const Passes::LayerNorm norm{.weight = vector(), .bias = bias, .eps = 1e-6, .then_gelu = then_gelu};
    const auto normed = passes->layer_norm(shape, image, norm);
    const auto back = passes->layer_norm_backward(shape, gradient, image, norm, normed.mean, normed.inverse, true);
    keep(normed.y, normed.mean, normed.inverse, back.x, back.weight, back.bias);
  }
  return all;
}

TEST_CASE("passes: on a GPU, those over maps are those of the CPU", "[cuda][sanitize]") {
  if (is_skipped()) return;
  const Strict strict;
  const auto type = GENERATE(at::kFloat, at::kBFloat16);
  const auto [images, pixels, channels] =
      GENERATE(table<int64_t, int64_t, int64_t>({{2, 12, 16}, {3, 35, 6}, {2, 130, 80}, {1, 1, 9}}));
  CAPTURE(type, images, pixels, channels);
  const Passes::Shape shape{.images = images, .pixels = pixels, .channels = channels};
  const auto expected = over_maps(at::kCPU, shape, type);
  const auto got = over_maps(at::kCUDA, shape, type), again = over_maps(at::kCUDA, shape, type);
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i].equal(again[i]));
    CHECK(got[i].scalar_type() == expected[i].scalar_type());
    const double limit = got[i].scalar_type() == at::kFloat ? test::kFusedGradientF32 : unit_of(type);
    CHECK(error_of(got[i], expected[i].to(at::kCUDA), 1e-3) <= limit);
  }
}

TEST_CASE("fused operators: on a GPU, what they have no kernel for runs as its parts", "[cuda]") {
  if (is_skipped()) return;
  const auto x = gpu_map({2, 8, 5, 5}, 1, at::kDouble);
  const auto vector = at::ones({8}, x.options()), square = at::eye(8, x.options());
  const auto y = squeeze_excite(x, {square, vector}, {square, vector});
  CHECK(y.scalar_type() == at::kDouble);
  CHECK(channel_layer_norm(x, vector, vector, 1e-6).scalar_type() == at::kDouble);
  const auto gamma = vector.view({1, 1, 1, 8});
  CHECK(linear_gelu_grn(x.permute({0, 2, 3, 1}), square, vector, gamma, {}).scalar_type() == at::kDouble);
  const Tensors inputs{x, x, vector, vector};
  CHECK_FALSE(can_fuse(end_of_block(8, at::kDouble).branch(inputs, {}), x));
}

}  // namespace
}  // namespace unireplk::ops
