#include <cmath>
#include <functional>
#include <initializer_list>
#include <random>
#include <vector>

#include "emulation/device.h"
#include "emulation/guarded.h"
#include "kernels/exact_gelu.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/kernels/cuda/gelu_grn.h"
#include "unireplk/kernels/cuda/layer_norm.h"
#include "unireplk/kernels/cuda/row_passes.h"
#include "unireplk/kernels/cuda/squeeze_gate.h"
#include "unireplk/kernels/cuda/tables.h"
#include "unireplk/kernels/cuda/values.cuh"

/// Passes over rows and the algebra between them, by their definitions in float64.
namespace unireplk::emulation {
namespace {

using namespace kernels::cuda;
using kernels::RowsShape;
using Values = std::vector<double>;

/// Vectors of channels and single ones, few and many, one thread block and several for an image.
const std::initializer_list<RowsShape> kShapes = {{3, 50, 24}, {2, 700, 40}, {2, 90, 13}, {1, 9, 600}};

template <class T>
constexpr Element kElement = std::is_same_v<T, float>      ? Element::kFloat
                             : std::is_same_v<T, BFloat16> ? Element::kBFloat16
                                                           : Element::kHalf;
template <class T>
constexpr double kMapTolerance = std::is_same_v<T, float>      ? test::kEmulatedMapF32
                                 : std::is_same_v<T, BFloat16> ? test::kEmulatedMapBF16
                                                               : test::kEmulatedMapF16;

/// Numbers that T holds.
template <class T>
Values numbers(int64_t count, double mean = 0) {
  static std::mt19937 bits{1};
  std::normal_distribution<double> normal(mean, 1);
  Values values(static_cast<size_t>(count));
  for (auto& value : values) value = to_float(from_float<T>(static_cast<float>(normal(bits))));
  return values;
}

/// Root mean square, relative. Not a number if one value is none.
template <class T>
double difference(const Guarded<T>& got, const Values& expected) {
  REQUIRE(got.is_intact());
  REQUIRE(got.size() == expected.size());
  double error = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double of = to_float(got.data()[i]) - expected[i];
    error += of * of;
    norm += expected[i] * expected[i];
  }
  return std::sqrt(error / norm);
}

/// A map's values and those of tables, by their places.
struct Places {
  RowsShape shape;

  int64_t values() const { return shape.images * shape.pixels * shape.channels; }
  int64_t table() const { return shape.images * shape.channels; }
  size_t channel(size_t at) const { return at % static_cast<size_t>(shape.channels); }
  size_t in_table(size_t at) const {
    return at / static_cast<size_t>(shape.pixels * shape.channels) * static_cast<size_t>(shape.channels) + channel(at);
  }

  /// of(place in the map), added up for each value of a table, or for each channel.
  Values sums(const std::function<double(size_t)>& of, bool is_of_table) const {
    Values sums(static_cast<size_t>(is_of_table ? table() : shape.channels));
    for (size_t at = 0; at < static_cast<size_t>(values()); ++at)
      sums[is_of_table ? in_table(at) : channel(at)] += of(at);
    return sums;
  }
  Values map(const std::function<double(size_t)>& of) const {
    Values map;
    for (size_t at = 0; at < static_cast<size_t>(values()); ++at) map.push_back(of(at));
    return map;
  }
};

template <class T>
void check_row_passes(const RowsShape& shape) {
  const Places in{shape};
  const auto a = numbers<T>(in.values(), 1), b = numbers<T>(in.values());
  const auto factor = numbers<float>(in.table()), slope = numbers<float>(in.table()),
             shift = numbers<float>(in.table());
  const auto centre = numbers<float>(shape.channels);
  const Guarded<T> map_a(a), map_b(b);
  const Guarded<float> factors(factor), slopes(slope), shifts(shift), centres(centre);
  Guarded<float> sums(in.table()), products(in.table()), mean(shape.channels), variance(shape.channels);
  Guarded<float> workspace(row_passes_workspace(shape));
  Guarded<T> combined(in.values());
  const MapValues of_a{kElement<T>, map_a.data()}, of_b{kElement<T>, map_b.data()};

  sum_rows(shape, of_a, of_b, centres.data(), sums.data(), products.data(), workspace.data(), nullptr);
  CHECK(difference(sums, in.sums([&](size_t i) { return a[i]; }, true)) < test::kEmulatedRowSums);
  const auto product = [&](size_t i) { return a[i] * (b[i] - centre[in.channel(i)]); };
  CHECK(difference(products, in.sums(product, true)) < test::kEmulatedRowSums);
  sums.poison();
  sum_rows(shape, of_a, {}, nullptr, sums.data(), nullptr, workspace.data(), nullptr);
  CHECK(difference(sums, in.sums([&](size_t i) { return a[i]; }, true)) < test::kEmulatedRowSums);

  row_moments(shape, of_a, mean.data(), variance.data(), workspace.data(), nullptr);
  const double share = 1 / static_cast<double>(shape.images * shape.pixels);
  const auto means = in.sums([&](size_t i) { return a[i] * share; }, false);
  const auto square = [&](size_t i) { return std::pow(a[i] - means[in.channel(i)], 2) * share; };
  CHECK(difference(mean, means) < test::kEmulatedRowSums);
  CHECK(difference(variance, in.sums(square, false)) < test::kEmulatedRowSums);

  const RowTerms terms{of_a, factors.data(), of_b, centres.data(), slopes.data(), shifts.data()};
  combine_rows(shape, terms, kElement<T>, combined.data(), nullptr);
  const auto combine = [&](size_t i) {
    const size_t t = in.in_table(i);
    return a[i] * factor[t] + (b[i] - centre[in.channel(i)]) * slope[t] + shift[t];
  };
  CHECK(difference(combined, in.map(combine)) < kMapTolerance<T>);
  CHECK(workspace.is_intact());
}

template <class T>
void check_gelu_passes(const RowsShape& shape) {
  const Places in{shape};
  const auto z = numbers<T>(in.values()), dy = numbers<T>(in.values());
  const auto factor = numbers<float>(in.table()), slope = numbers<float>(in.table());
  const auto bias = numbers<float>(shape.channels), shift = numbers<float>(shape.channels);
  const Guarded<T> map_z(z), map_dy(dy);
  const Guarded<float> factors(factor), slopes(slope), biases(bias), shifts(shift);
  Guarded<float> squares(in.table()), products(in.table()), sums(shape.channels), dbias(shape.channels);
  Guarded<float> workspace(gelu_workspace(shape));
  Guarded<T> y(in.values()), dz(in.values());
  const auto element = kElement<T>;
  const auto x = [&](size_t i) { return z[i] + bias[in.channel(i)]; };
  const auto h = [&](size_t i) { return kernels::gelu(x(i)); };

  gelu_squares(element, shape, map_z.data(), biases.data(), squares.data(), workspace.data(), nullptr);
  CHECK(difference(squares, in.sums([&](size_t i) { return h(i) * h(i); }, true)) < test::kEmulatedGeluSums);
  gelu_scale(element, shape, map_z.data(), biases.data(), factors.data(), shifts.data(), y.data(), nullptr);
  const auto scaled = [&](size_t i) { return h(i) * factor[in.in_table(i)] + shift[in.channel(i)]; };
  CHECK(difference(y, in.map(scaled)) < kMapTolerance<T>);
  gelu_products(element, shape, map_dy.data(), map_z.data(), biases.data(), products.data(), sums.data(),
                workspace.data(), nullptr);
  CHECK(difference(products, in.sums([&](size_t i) { return dy[i] * h(i); }, true)) < test::kEmulatedGeluSums);
  CHECK(difference(sums, in.sums([&](size_t i) { return dy[i]; }, false)) < test::kEmulatedRowSums);
  gelu_combine(element, shape, map_dy.data(), factors.data(), map_z.data(), biases.data(), slopes.data(), dz.data(),
               dbias.data(), workspace.data(), nullptr);
  const auto gradient = [&](size_t i) {
    return (dy[i] * factor[in.in_table(i)] + h(i) * slope[in.in_table(i)]) * kernels::gelu_slope(x(i));
  };
  CHECK(difference(dz, in.map(gradient)) < kMapTolerance<T>);
  CHECK(difference(dbias, in.sums(gradient, false)) < test::kEmulatedGeluSums);
  CHECK(workspace.is_intact());
}

template <class T>
void check_layer_norm(const RowsShape& shape, bool then_gelu) {
  const Places in{shape};
  const auto x = numbers<T>(in.values(), 1), dy = numbers<float>(in.values());
  const auto weight = numbers<float>(shape.channels), bias = numbers<float>(shape.channels);
  const Guarded<T> map_x(x);
  const Guarded<float> map_dy(dy), weights(weight), biases(bias);
  const int64_t rows = shape.images * shape.pixels;
  Guarded<float> y(in.values()), mean(rows), inverse(rows), dweight(shape.channels), dbias(shape.channels);
  Guarded<float> workspace(layer_norm_workspace(shape));
  Guarded<T> dx(in.values());
  constexpr float kEps = 1e-6F;
  const kernels::LayerNorm norm{weights.data(), biases.data(), kEps, then_gelu};
  layer_norm(kElement<T>, shape, map_x.data(), norm, y.data(), mean.data(), inverse.data(), nullptr);
  layer_norm_backward(kElement<T>, shape, map_dy.data(), map_x.data(), norm, mean.data(), inverse.data(), dx.data(),
                      dweight.data(), dbias.data(), workspace.data(), nullptr);

  const auto channels = static_cast<size_t>(shape.channels);
  Values normal(x.size()), g(x.size()), expected(x.size()), expected_dx(x.size());
  for (size_t first = 0; first < x.size(); first += channels) {
    double sum = 0, squares = 0, of_g = 0, of_product = 0;
    for (size_t c = 0; c < channels; ++c) sum += x[first + c] / static_cast<double>(channels);
    for (size_t c = 0; c < channels; ++c) squares += std::pow(x[first + c] - sum, 2) / static_cast<double>(channels);
    const double scale = 1 / std::sqrt(squares + kEps);
    for (size_t c = 0; c < channels; ++c) {
      const size_t i = first + c;
      normal[i] = (x[i] - sum) * scale;
      const double value = normal[i] * weight[c] + bias[c];
      expected[i] = then_gelu ? kernels::gelu(value) : value;
      g[i] = dy[i] * (then_gelu ? kernels::gelu_slope(value) : 1);
      of_g += g[i] * weight[c] / static_cast<double>(channels);
      of_product += g[i] * weight[c] * normal[i] / static_cast<double>(channels);
    }
    for (size_t c = 0; c < channels; ++c) {
      expected_dx[first + c] = scale * (g[first + c] * weight[c] - of_g - normal[first + c] * of_product);
    }
  }
  CHECK(difference(y, expected) < test::kEmulatedMapF32);
  CHECK(difference(dx, expected_dx) < kMapTolerance<T>);
  CHECK(difference(dweight, in.sums([&](size_t i) { return g[i] * normal[i]; }, false)) < test::kEmulatedRowSums);
  CHECK(difference(dbias, in.sums([&](size_t i) { return g[i]; }, false)) < test::kEmulatedRowSums);
  CHECK(workspace.is_intact());
}

template <class T>
void check_passes() {
  for (const auto& shape : kShapes) {
    INFO(shape.images << " x " << shape.pixels << " x " << shape.channels);
    check_row_passes<T>(shape);
    check_gelu_passes<T>(shape);
    check_layer_norm<T>(shape, false);
    check_layer_norm<T>(shape, true);
  }
}

TEST_CASE("emulated row passes: match their definitions in float32") { check_passes<float>(); }

TEST_CASE("emulated row passes: match their definitions in bf16") { check_passes<BFloat16>(); }

TEST_CASE("emulated row passes: match their definitions in fp16") { check_passes<Half>(); }

void check_grn(const kernels::TableShape& shape) {
  const auto images = static_cast<size_t>(shape.images), channels = static_cast<size_t>(shape.channels);
  auto squares = numbers<float>(shape.images * shape.channels, 2);
  for (auto& square : squares) square = static_cast<float>(square * square);
  const auto product = numbers<float>(shape.images * shape.channels), gamma = numbers<float>(shape.channels);
  const Guarded<float> gammas(gamma), products(product);
  Guarded<float> norms(squares), factor(squares), again(squares), slope(squares), dgamma(shape.channels);
  Guarded<float> workspace(shape.images);
  grn_factors(shape, gammas.data(), norms.data(), factor.data(), nullptr);
  grn_gradients(shape, gammas.data(), norms.data(), products.data(), {again.data(), slope.data(), dgamma.data()},
                workspace.data(), nullptr);
  Values expected(squares.size()), expected_slope(squares.size()), expected_gamma(channels);
  for (size_t first = 0; first < images * channels; first += channels) {
    double divisor = kernels::kGrnEps, mean = 0;
    for (size_t c = 0; c < channels; ++c) divisor += std::sqrt(squares[first + c]) / static_cast<double>(channels);
    for (size_t c = 0; c < channels; ++c) {
      const double share = std::sqrt(squares[first + c]) / divisor;
      expected[first + c] = gamma[c] * share + 1;
      expected_gamma[c] += share * product[first + c];
      mean += product[first + c] * gamma[c] * share / static_cast<double>(channels);
    }
    for (size_t c = 0; c < channels; ++c) {
      const double norm = std::sqrt(squares[first + c]);
      expected_slope[first + c] = (product[first + c] * gamma[c] - mean) / (divisor * norm);
    }
  }
  CHECK(difference(factor, expected) < test::kEmulatedRowSums);
  CHECK(difference(again, expected) < test::kEmulatedRowSums);
  CHECK(difference(slope, expected_slope) < test::kEmulatedRowSums);
  CHECK(difference(dgamma, expected_gamma) < test::kEmulatedRowSums);
}

void check_tail(const kernels::TableShape& shape) {
  const auto images = static_cast<size_t>(shape.images), channels = static_cast<size_t>(shape.channels);
  const auto sum = numbers<float>(shape.images * shape.channels),
             product = numbers<float>(shape.images * shape.channels);
  const auto weight = numbers<float>(shape.channels), bias = numbers<float>(shape.channels);
  const auto scale = numbers<float>(shape.channels), mask = numbers<float>(shape.images);
  auto variance = numbers<float>(shape.channels, 3);
  for (auto& value : variance) value = std::abs(value);
  const auto mean = numbers<float>(shape.channels);
  const Guarded<float> sums(sum), products(product), weights(weight), biases(bias), scales(scale), masks(mask);
  const Guarded<float> means(mean), variances(variance);
  Guarded<float> inverse(shape.channels), slope(sum), shift(sum), totals(2 * shape.channels);
  Guarded<float> factor(sum), dslope(sum), dshift(sum), dweight(weight), dbias(weight), dscale(weight);
  constexpr double kEps = 1e-5, kPixels = 70;
  const kernels::TailNorm norm{weights.data(), biases.data(), scales.data(), masks.data()};
  tail_factors(shape, norm, {means.data(), variances.data(), kPixels}, kEps, {},
               {inverse.data(), slope.data(), shift.data()}, nullptr);
  tail_sums(shape, sums.data(), products.data(), masks.data(), inverse.data(), totals.data(), nullptr);
  tail_gradients(shape, norm, inverse.data(), totals.data(), kPixels, 1,
                 {factor.data(), dslope.data(), dshift.data(), dweight.data(), dbias.data(), dscale.data()}, nullptr);
  Values expected_slope(sum.size()), expected_shift(sum.size()), expected_totals(2 * channels);
  Values expected_factor(sum.size()), expected_dslope(sum.size()), expected_weight(channels), expected_scale(channels);
  for (size_t c = 0; c < channels; ++c) {
    const double of_variance = 1 / std::sqrt(variance[c] + kEps);
    double& total = expected_totals[c];
    double& of_normal = expected_totals[channels + c];
    for (size_t n = 0; n < images; ++n) {
      total += mask[n] * sum[n * channels + c];
      of_normal += mask[n] * product[n * channels + c] * of_variance;
    }
    expected_weight[c] = scale[c] * of_normal;
    expected_scale[c] = weight[c] * of_normal + bias[c] * total;
    for (size_t n = 0; n < images; ++n) {
      const size_t i = n * channels + c;
      expected_factor[i] = expected_slope[i] = weight[c] * of_variance * scale[c] * mask[n];
      expected_shift[i] = bias[c] * scale[c] * mask[n];
      expected_dslope[i] = -weight[c] * of_variance * scale[c] / kPixels * of_variance * of_normal;
    }
  }
  CHECK(difference(slope, expected_slope) < test::kEmulatedRowSums);
  CHECK(difference(shift, expected_shift) < test::kEmulatedRowSums);
  CHECK(difference(totals, expected_totals) < test::kEmulatedRowSums);
  CHECK(difference(factor, expected_factor) < test::kEmulatedRowSums);
  CHECK(difference(dslope, expected_dslope) < test::kEmulatedRowSums);
  CHECK(difference(dweight, expected_weight) < test::kEmulatedRowSums);
  CHECK(difference(dscale, expected_scale) < test::kEmulatedRowSums);
}

TEST_CASE("emulated tables: match their definitions") {
  for (const auto& shape : {kernels::TableShape{3, 24}, kernels::TableShape{70, 13}, kernels::TableShape{2, 600}}) {
    INFO(shape.images << " x " << shape.channels);
    check_grn(shape);
    check_tail(shape);
  }
}

void check_squeeze_gate(int64_t count, int64_t channels, int64_t width) {
  const auto sums = numbers<float>(count * channels), dgate = numbers<float>(count * channels);
  const auto down = numbers<float>(width * channels), up = numbers<float>(channels * width);
  const auto down_bias = numbers<float>(width), up_bias = numbers<float>(channels);
  const Guarded<float> down_weight(down), up_weight(up), of_down(down_bias), of_up(up_bias), products(dgate);
  Guarded<float> means(sums), inner(count * width), to(sums);
  Guarded<float> dup(sums), ddown(count * width), shift(sums), ddown_bias(width), dup_bias(channels);
  constexpr int64_t kPixels = 5;
  const kernels::SqueezeGate gate{channels, width, down_weight.data(), of_down.data(), up_weight.data(), of_up.data()};
  squeeze_gate(gate, count, kPixels, means.data(), inner.data(), to.data(), nullptr);
  squeeze_gate_backward(gate, count, kPixels, {means.data(), inner.data(), to.data()}, products.data(),
                        {dup.data(), ddown.data(), shift.data(), ddown_bias.data(), dup_bias.data()}, nullptr);
  Values expected_means = sums, expected_inner(count * width), expected(sums.size());
  Values expected_up(sums.size()), expected_down(count * width), expected_shift(sums.size());
  Values expected_up_bias(channels), expected_down_bias(width);
  for (auto& mean : expected_means) mean /= kPixels;
  for (int64_t n = 0; n < count; ++n) {
    for (int64_t i = 0; i < width; ++i) {
      double sum = down_bias[i];
      for (int64_t c = 0; c < channels; ++c) sum += expected_means[n * channels + c] * down[i * channels + c];
      expected_inner[n * width + i] = std::max(sum, 0.0);
    }
    for (int64_t c = 0; c < channels; ++c) {
      double sum = up_bias[c];
      for (int64_t i = 0; i < width; ++i) sum += expected_inner[n * width + i] * up[c * width + i];
      const double value = 1 / (1 + std::exp(-sum));
      expected[n * channels + c] = value;
      expected_up[n * channels + c] = dgate[n * channels + c] * value * (1 - value);
      expected_up_bias[c] += expected_up[n * channels + c];
    }
    for (int64_t i = 0; i < width; ++i) {
      double sum = 0;
      for (int64_t c = 0; c < channels; ++c) sum += expected_up[n * channels + c] * up[c * width + i];
      expected_down[n * width + i] = expected_inner[n * width + i] > 0 ? sum : 0;
      expected_down_bias[i] += expected_down[n * width + i];
      for (int64_t c = 0; c < channels; ++c) {
        expected_shift[n * channels + c] += expected_down[n * width + i] * down[i * channels + c] / kPixels;
      }
    }
  }
  CHECK(difference(means, expected_means) < test::kEmulatedRowSums);
  CHECK(difference(inner, expected_inner) < test::kEmulatedRowSums);
  CHECK(difference(to, expected) < test::kEmulatedGate);
  CHECK(difference(dup, expected_up) < test::kEmulatedGate);
  CHECK(difference(ddown, expected_down) < test::kEmulatedGate);
  CHECK(difference(shift, expected_shift) < test::kEmulatedGate);
  CHECK(difference(ddown_bias, expected_down_bias) < test::kEmulatedGate);
  CHECK(difference(dup_bias, expected_up_bias) < test::kEmulatedGate);
}

TEST_CASE("emulated squeeze gate: matches its definition") {
  check_squeeze_gate(3, 24, 8);
  check_squeeze_gate(9, 37, 5);
  check_squeeze_gate(2, 700, 12);  // more rows than factors lie ready for at once
}

}  // namespace
}  // namespace unireplk::emulation
