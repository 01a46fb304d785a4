#include "unireplk/kernels/layer_norm.h"

#include <cmath>
#include <limits>

#include "kernels/exact_gelu.h"
#include "kernels/forced.h"
#include "kernels/maps.h"
#include "kernels/numbers.h"
#include "support/catch.h"
#include "unireplk/kernels/instruction_set.h"

namespace unireplk::kernels {
namespace {

constexpr double kEps = 1e-6;

template <class Value>
struct NormResults {
  std::vector<Value> y, dx, dweight, dbias;
};

/// \tparam Number  of the map x.
template <class Number>
struct NormInputs {
  explicit NormInputs(const RowsShape& rows, Filling filling = Filling::kNormal)
      : shape(rows),
        x(as_held<Number>(filled<double>(rows.images * rows.pixels * rows.channels, filling, 1))),
        dy(filled<double>(rows.images * rows.pixels * rows.channels, Filling::kNormal, 2)),
        weight(filled<double>(rows.channels, Filling::kNormal, 3)),
        bias(filled<double>(rows.channels, Filling::kNormal, 4)) {}

  RowsShape shape;
  std::vector<double> x, dy, weight, bias;
};

template <class Number>
NormResults<float> run(const NormInputs<Number>& in, const Parallel& parallel, bool then_gelu = false) {
  const auto x = held<Number>(in.x);
  const auto dy = narrow(in.dy), weight = narrow(in.weight), bias = narrow(in.bias);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> map(x.size(), nan), row(weight.size(), nan);
  std::vector<float> mean(static_cast<size_t>(in.shape.images * in.shape.pixels), nan), inverse = mean;
  NormResults<float> out{.y = map, .dx = {}, .dweight = row, .dbias = row};
  auto dx = not_a_number<Number>(x.size());
  Space space(row_sums_workspace(in.shape, 3));
  const LayerNorm norm{
      .weight = weight.data(), .bias = bias.data(), .eps = static_cast<float>(kEps), .then_gelu = then_gelu};
  layer_norm(in.shape, x.data(), norm, out.y.data(), mean.data(), inverse.data(), parallel);
  layer_norm_backward(in.shape, dy.data(), x.data(), norm, mean.data(), inverse.data(), dx.data(), out.dweight.data(),
                      out.dbias.data(), space.span(), parallel);
  out.dx = widened(dx);
  return out;
}

/// The definition and its derivative, pixel by pixel.
template <class Number>
NormResults<double> judge(const NormInputs<Number>& in, bool then_gelu = false) {
  const auto channels = static_cast<size_t>(in.shape.channels);
  const auto count = static_cast<double>(channels);
  const std::vector<double> map(in.x.size()), row(channels);
  NormResults<double> out{.y = map, .dx = map, .dweight = row, .dbias = row};
  for (size_t first = 0; first < in.x.size(); first += channels) {
    double mean = 0, variance = 0, sum = 0, product = 0;
    for (size_t c = 0; c < channels; ++c) mean += in.x[first + c] / count;
    for (size_t c = 0; c < channels; ++c) variance += std::pow(in.x[first + c] - mean, 2) / count;
    const double deviation = std::sqrt(variance + kEps);
    const auto normal = [&](size_t c) { return (in.x[first + c] - mean) / deviation; };
    const auto before_gelu = [&](size_t c) { return normal(c) * in.weight[c] + in.bias[c]; };
    const auto gradient = [&](size_t c) { return in.dy[first + c] * (then_gelu ? gelu_slope(before_gelu(c)) : 1); };
    for (size_t c = 0; c < channels; ++c) {
      out.y[first + c] = then_gelu ? gelu(before_gelu(c)) : before_gelu(c);
      out.dweight[c] += gradient(c) * normal(c);
      out.dbias[c] += gradient(c);
      sum += gradient(c) * in.weight[c] / count;
      product += gradient(c) * in.weight[c] * normal(c) / count;
    }
    for (size_t c = 0; c < channels; ++c) {
      out.dx[first + c] = (gradient(c) * in.weight[c] - sum - normal(c) * product) / deviation;
    }
  }
  return out;
}

TEMPLATE_TEST_CASE("layer_norm: equals plain loops in float64", "[numeric]", float, BFloat16) {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const auto [images, pixels, channels] = GENERATE(table<int64_t, int64_t, int64_t>(
      {{1, 1, 4}, {2, 9, 5}, {3, 65, 17}, {2, 196, 40}, {1, 700, 3}, {2, 49, 640}, {0, 4, 8}, {2, 0, 8}}));
  const auto filling = GENERATE(Filling::kNormal, Filling::kAroundTen);
  const bool then_gelu = GENERATE(false, true);
  CAPTURE(images, pixels, channels, then_gelu);
  const NormInputs<TestType> in({images, pixels, channels}, filling);
  const auto got = run(in, Parallel(), then_gelu);
  const auto expected = judge(in, then_gelu);
  const double limit = filling == Filling::kNormal ? 2e-6 : 2e-5;  // of ten one unit of float32 is 1e-6
  CHECK(relative_error(got.y, expected.y) <= limit);
  CHECK(relative_error(got.dx, expected.dx) <= kRounding<TestType> + 2 * limit);
  CHECK(relative_error(got.dweight, expected.dweight) <= limit);
  CHECK(relative_error(got.dbias, expected.dbias) <= limit);
}

TEMPLATE_TEST_CASE("layer_norm: equal channels, one channel, and not-a-number stays in its pixel", "[numeric]", float,
                   BFloat16) {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  NormInputs<TestType> in({1, 3, 19});
  std::fill_n(in.x.begin(), 19, 7.0);
  in.x[20] = std::numeric_limits<double>::quiet_NaN();
  const auto got = run(in, Parallel());
  for (size_t c = 0; c < 19; ++c) {
    CHECK(got.y[c] == static_cast<float>(in.bias[c]));
    CHECK(std::isnan(got.y[19 + c]));
    CHECK(std::isfinite(got.y[38 + c]));
    CHECK(std::isfinite(got.dx[38 + c]));
  }
  const auto single = run(NormInputs<TestType>({1, 2, 1}), Parallel());
  CHECK(std::isfinite(single.y[0]));
}

TEMPLATE_TEST_CASE("layer_norm: the same bits for any number of threads", "[numeric]", float, BFloat16) {
  const NormInputs<TestType> in({3, 196, 80});
  const auto one = run(in, Parallel()), three = run(in, threads(3));
  CHECK(one.y == three.y);
  CHECK(one.dx == three.dx);
  CHECK(one.dweight == three.dweight);
  CHECK(one.dbias == three.dbias);
}

}  // namespace
}  // namespace unireplk::kernels
