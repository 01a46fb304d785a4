#include "unireplk/kernels/tables.h"

#include <cmath>
#include <limits>

#include "kernels/maps.h"
#include "support/catch.h"

namespace unireplk::kernels {
namespace {

constexpr float kNotSet = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random(int64_t count, unsigned seed) { return filled<float>(count, Filling::kNormal, seed); }

struct Tables {
  explicit Tables(const TableShape& of)
      : shape(of),
        norms(random(of.images * of.channels, 1)),
        products(random(of.images * of.channels, 2)),
        sums(random(of.images * of.channels, 3)),
        gamma(random(of.channels, 4)),
        weight(random(of.channels, 5)),
        bias(random(of.channels, 6)),
        scale(random(of.channels, 7)),
        mask(random(of.images, 8)),
        mean(random(of.channels, 9)),
        variance(random(of.channels, 10)) {
    for (auto& norm : norms) norm *= norm;  // squares of norms
    for (auto& value : variance) value *= value;
    if (!norms.empty()) norms[norms.size() / 2] = 0;
  }

  size_t at(int64_t image, int64_t channel) const { return static_cast<size_t>(image * shape.channels + channel); }
  std::vector<float> table() const { return std::vector<float>(norms.size(), kNotSet); }
  std::vector<float> vector() const { return std::vector<float>(gamma.size(), kNotSet); }

  TableShape shape;
  std::vector<float> norms, products, sums, gamma, weight, bias, scale, mask, mean, variance;
};

const auto kTableShapes = {TableShape{1, 1}, TableShape{2, 5},  TableShape{3, 129}, TableShape{130, 64},
                           TableShape{7, 1}, TableShape{0, 12}, TableShape{4, 0},   TableShape{2, 2560}};

struct GrnResults {
  std::vector<float> norms, forward_factor, factor, slope, gamma;
};

GrnResults run_grn(const Tables& in, const Parallel& parallel) {
  GrnResults out{
      .norms = in.norms, .forward_factor = in.table(), .factor = in.table(), .slope = in.table(), .gamma = in.vector()};
  grn_factors(in.shape, in.gamma.data(), out.norms.data(), out.forward_factor.data(), parallel);
  Space space(in.shape.images);
  grn_gradients(in.shape, in.gamma.data(), out.norms.data(), in.products.data(),
                {.factor = out.factor.data(), .slope = out.slope.data(), .gamma = out.gamma.data()}, space.span(),
                parallel);
  return out;
}

double difference(const std::vector<float>& got, const std::vector<double>& expected) {
  double sum = 0;
  for (size_t i = 0; i < expected.size(); ++i) sum = std::hypot(sum, got[i] - expected[i]);
  return sum;
}

TEST_CASE("grn tables: equal plain loops in float64", "[numeric]") {
  const Tables in(GENERATE(from_range(kTableShapes)));
  const auto [images, channels] = in.shape;
  CAPTURE(images, channels);
  const auto got = run_grn(in, Parallel());
  std::vector<double> factor(in.norms.size()), slope(in.norms.size()), gamma(in.gamma.size());
  double size_of_terms = 0;  // of the slopes
  for (int64_t n = 0; n < images; ++n) {
    double divisor = 0, of_mean = 0;
    for (int64_t c = 0; c < channels; ++c) divisor += std::sqrt(static_cast<double>(in.norms[in.at(n, c)]));
    divisor = divisor / static_cast<double>(channels) + kGrnEps;
    const auto relative = [&](int64_t c) { return std::sqrt(static_cast<double>(in.norms[in.at(n, c)])) / divisor; };
    const auto of_relative = [&](int64_t c) {
      return static_cast<double>(in.products[in.at(n, c)]) * in.gamma[static_cast<size_t>(c)];
    };
    for (int64_t c = 0; c < channels; ++c) of_mean += of_relative(c) * relative(c) / static_cast<double>(channels);
    for (int64_t c = 0; c < channels; ++c) {
      const double norm = relative(c) * divisor;
      factor[in.at(n, c)] = in.gamma[static_cast<size_t>(c)] * relative(c) + 1;
      slope[in.at(n, c)] = norm > 0 ? (of_relative(c) - of_mean) / (divisor * norm) : 0;
      if (norm > 0) size_of_terms = std::hypot(size_of_terms, of_relative(c) / (divisor * norm));
      gamma[static_cast<size_t>(c)] += in.products[in.at(n, c)] * relative(c);
    }
  }
  CHECK(relative_error(got.forward_factor, factor) <= 1e-6);
  CHECK(got.factor == got.forward_factor);
  CHECK(difference(got.slope, slope) <= 1e-6 * size_of_terms);  // of one channel almost nothing is left
  CHECK(relative_error(got.gamma, gamma) <= 1e-6);
}

struct TailResults {
  std::vector<float> running_mean, running_variance, inverse, slope, shift, totals;
  std::vector<float> factor, dslope, dshift, weight, bias, scale;
  int64_t batches = 0;
};

constexpr double kTailEps = 1e-5, kTailMomentum = 0.1, kBatchPixels = 50, kBatchRanks = 2;

TailResults run_tail(const Tables& in, bool has_scale, bool has_mask, const Parallel& parallel) {
  TailResults out{.running_mean = random(in.shape.channels, 11),
                  .running_variance = random(in.shape.channels, 12),
                  .inverse = in.vector(),
                  .slope = in.table(),
                  .shift = in.table(),
                  .totals = std::vector<float>(2 * in.gamma.size(), kNotSet),
                  .factor = in.table(),
                  .dslope = in.table(),
                  .dshift = in.table(),
                  .weight = in.vector(),
                  .bias = in.vector(),
                  .scale = in.vector()};
  const TailNorm norm{.weight = in.weight.data(),
                      .bias = in.bias.data(),
                      .scale = has_scale ? in.scale.data() : nullptr,
                      .mask = has_mask ? in.mask.data() : nullptr};
  const MovingNorm moving{.norm = {.mean = out.running_mean.data(),
                                   .variance = out.running_variance.data(),
                                   .batches = has_scale ? &out.batches : nullptr},
                          .momentum = kTailMomentum};
  tail_factors(in.shape, norm, {.mean = in.mean.data(), .variance = in.variance.data(), .pixels = kBatchPixels},
               kTailEps, has_mask ? moving : MovingNorm{},
               {.inverse = out.inverse.data(), .slope = out.slope.data(), .shift = out.shift.data()}, parallel);
  tail_sums(in.shape, in.sums.data(), in.products.data(), norm.mask, out.inverse.data(), out.totals.data(), parallel);
  tail_gradients(in.shape, norm, out.inverse.data(), out.totals.data(), kBatchPixels, kBatchRanks,
                 {.factor = out.factor.data(),
                  .slope = out.dslope.data(),
                  .shift = out.dshift.data(),
                  .weight = out.weight.data(),
                  .bias = out.bias.data(),
                  .scale = has_scale ? out.scale.data() : nullptr},
                 parallel);
  return out;
}

TEST_CASE("tail tables: equal plain loops in float64, with running statistics", "[numeric]") {
  const Tables in(GENERATE(from_range(kTableShapes)));
  const bool has_scale = GENERATE(true, false), has_mask = GENERATE(true, false);
  const auto [images, channels] = in.shape;
  CAPTURE(images, channels, has_scale, has_mask);
  const auto got = run_tail(in, has_scale, has_mask, Parallel());
  const size_t tables = in.norms.size(), vectors = in.gamma.size();
  std::vector<double> slope(tables), shift(tables), factor(tables), dslope(tables), dshift(tables), weight(vectors),
      bias(vectors), dscale(vectors), mean(vectors), variance(vectors);
  const auto before_mean = random(channels, 11), before_variance = random(channels, 12);
  for (int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<size_t>(c);
    const double inverse = 1 / std::sqrt(in.variance[i] + kTailEps), scale = has_scale ? in.scale[i] : 1;
    const auto mask = [&](int64_t n) { return has_mask ? static_cast<double>(in.mask[static_cast<size_t>(n)]) : 1; };
    double sum = 0, of_normal = 0;
    for (int64_t n = 0; n < images; ++n) {
      sum += mask(n) * in.sums[in.at(n, c)];
      of_normal += mask(n) * in.products[in.at(n, c)] * inverse;
    }
    for (int64_t n = 0; n < images; ++n) {
      slope[in.at(n, c)] = in.weight[i] * inverse * scale * mask(n);
      shift[in.at(n, c)] = in.bias[i] * scale * mask(n);
      factor[in.at(n, c)] = slope[in.at(n, c)];
      dslope[in.at(n, c)] = -in.weight[i] * inverse * scale / kBatchPixels * inverse * of_normal;
      dshift[in.at(n, c)] = -in.weight[i] * inverse * scale / kBatchPixels * sum;
    }
    weight[i] = scale * of_normal / kBatchRanks;
    bias[i] = scale * sum / kBatchRanks;
    dscale[i] = (in.weight[i] * of_normal + in.bias[i] * sum) / kBatchRanks;
    const double share = has_mask ? kTailMomentum : 0;  // they move with a mask
    mean[i] = (1 - share) * before_mean[i] + share * in.mean[i];
    variance[i] = (1 - share) * before_variance[i] + share * in.variance[i] * kBatchPixels / (kBatchPixels - 1);
  }
  CHECK(relative_error(got.slope, slope) <= 1e-6);
  CHECK(relative_error(got.shift, shift) <= 1e-6);
  CHECK(relative_error(got.factor, factor) <= 1e-6);
  CHECK(relative_error(got.dslope, dslope) <= 2e-6);
  CHECK(relative_error(got.dshift, dshift) <= 2e-6);
  CHECK(relative_error(got.weight, weight) <= 2e-6);
  CHECK(relative_error(got.bias, bias) <= 2e-6);
  if (has_scale) CHECK(relative_error(got.scale, dscale) <= 2e-6);
  CHECK(relative_error(got.running_mean, mean) <= 1e-7);
  CHECK(relative_error(got.running_variance, variance) <= 1e-7);
  CHECK(got.batches == (has_scale && has_mask && channels > 0 ? 1 : 0));
}

TEST_CASE("tables: the same bits for any number of threads", "[numeric]") {
  const Tables in({5, 150});
  const auto one = run_grn(in, Parallel()), three = run_grn(in, threads(3));
  CHECK(one.norms == three.norms);
  CHECK(one.factor == three.factor);
  CHECK(one.slope == three.slope);
  CHECK(one.gamma == three.gamma);
  const auto first = run_tail(in, true, true, Parallel()), second = run_tail(in, true, true, threads(3));
  CHECK(first.slope == second.slope);
  CHECK(first.shift == second.shift);
  CHECK(first.totals == second.totals);
  CHECK(first.factor == second.factor);
  CHECK(first.dslope == second.dslope);
  CHECK(first.dshift == second.dshift);
  CHECK(first.scale == second.scale);
}

TEST_CASE("tables: not-a-number stays in its image", "[numeric]") {
  Tables in({3, 20});
  in.norms[in.at(1, 7)] = kNotSet;
  const auto grn = run_grn(in, Parallel());
  for (int64_t c = 0; c < 20; ++c) {
    CHECK(std::isfinite(grn.factor[in.at(0, c)]));
    CHECK(std::isnan(grn.factor[in.at(1, c)]));
    CHECK(std::isfinite(grn.factor[in.at(2, c)]));
  }
}

}  // namespace
}  // namespace unireplk::kernels
