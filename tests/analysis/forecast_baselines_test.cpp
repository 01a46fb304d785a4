#include "unireplk/analysis/forecast_baselines.h"

#include <ATen/ATen.h>

#include "support/catch.h"
#include "unireplk/data/time_series/csv_windows.h"

/// Figures of spec/time_series.md, B7: they hold parsing, splits, scaling, windows and metrics to account.
namespace unireplk::analysis {
namespace {

using namespace data::time_series;  // NOLINT: a test

struct Parts {
  ForecastRows train, validation, test;
};

Parts etth1(int64_t input, int64_t horizon) {
  const auto source = make_csv_windows({.file = "examples/data/etth1/ETTh1.csv",
                                        .split = SplitKind::kEtth,
                                        .part = data::SplitPart::kTest,
                                        .input = input,
                                        .horizon = horizon});
  const auto parts = dynamic_cast<const WindowSource&>(*source).series().parts();
  const auto rows = [&](const at::Tensor& values) {
    return ForecastRows{.values = values, .input = input, .horizon = horizon};
  };
  return {.train = rows(parts.train), .validation = rows(parts.validation), .test = rows(parts.own)};
}

/// Equal to the four digits that are published.
void check_errors(const ForecastErrors& errors, double mse, double mae) {
  const int64_t rows = errors.squared.size(0);
  CHECK(errors.mse(rows) == Approx(mse).margin(5.1e-5));
  CHECK(errors.mae(rows) == Approx(mae).margin(5.1e-5));
}

void check_ridge(int64_t input, int64_t horizon, double mse, double mae) {
  CAPTURE(input, horizon);
  const auto parts = etth1(input, horizon);
  check_errors(fit_ridge(parts.train, LinearNorm::kMean, {0.001}).front().errors(parts.test), mse, mae);
}

/// Mean over the four horizons of the ridge that validation chooses.
double chosen_mean(int64_t input) {
  double sum = 0;
  for (const int64_t horizon : {96, 192, 336, 720}) {
    const auto parts = etth1(input, horizon);
    sum += choose_ridge(parts.train, parts.validation).errors(parts.test).mse(horizon);
  }
  return sum / 4;
}

}  // namespace

TEST_CASE("baselines: repeat and daily on ETTh1", "[numeric]") {
  const auto [horizon, repeat_mse, repeat_mae, daily_mse, daily_mae] =
      GENERATE(table<int64_t, double, double, double, double>({{96, 1.2944, 0.7132, 0.5122, 0.4333},
                                                               {192, 1.3249, 0.7331, 0.5808, 0.4692},
                                                               {336, 1.3299, 0.7460, 0.6499, 0.5008},
                                                               {720, 1.3351, 0.7550, 0.6554, 0.5141}}));
  const auto input = GENERATE(96, 336);  // the targets do not depend on it
  const auto parts = etth1(input, horizon);
  check_errors(repeat_errors(parts.test), repeat_mse, repeat_mae);
  check_errors(periodic_errors(parts.test, 24), daily_mse, daily_mae);
}

TEST_CASE("baselines: ridge on ETTh1, 96 hours ahead", "[numeric]") {
  check_ridge(96, 96, 0.3832, 0.3917);
  check_ridge(336, 96, 0.3701, 0.3915);
}

TEST_CASE("baselines: ridge on ETTh1, further ahead", "[numeric][slow]") {
  check_ridge(96, 192, 0.4341, 0.4212);
  check_ridge(96, 336, 0.4756, 0.4426);
  check_ridge(96, 720, 0.4697, 0.4615);
  check_ridge(336, 192, 0.4034, 0.4111);
  check_ridge(336, 336, 0.4276, 0.4261);
  check_ridge(336, 720, 0.4343, 0.4504);
}

TEST_CASE("baselines: the ridge that validation chooses on ETTh1", "[numeric][slow]") {
  CHECK(chosen_mean(96) == Approx(0.4435).margin(5.1e-5));
  CHECK(chosen_mean(336) == Approx(0.4148).margin(5.1e-5));
}

TEST_CASE("baselines: errors of the first rows are those of a shorter horizon", "[numeric]") {
  const at::Tensor values = at::arange(40, at::kDouble).square().unsqueeze(1);
  const ForecastRows rows{.values = values, .input = 4, .horizon = 6};
  const ForecastRows brief{.values = values.narrow(0, 0, 40 - 3), .input = 4, .horizon = 3};
  CHECK(repeat_errors(rows).mse(3) == Approx(repeat_errors(brief).mse(3)));
  CHECK(repeat_errors(rows).mae(6) > repeat_errors(rows).mae(3));
}

/// Two waves, cut to 400 rows to learn from and the rest, in another unit around another level.
struct Waves {
  Waves(double unit, double level) {
    const auto time = at::arange(600, at::kDouble);
    const auto values = at::stack({(time * 0.3).sin(), (time * 0.11).cos()}, 1) * unit + level;
    const auto rows = [&](int64_t begin, int64_t count) {
      return ForecastRows{.values = values.narrow(0, begin, count), .input = 48, .horizon = 8};
    };
    train = rows(0, 400), validation = rows(352, 124), test = rows(428, 172);
  }

  ForecastErrors dlinear(const DLinearOptions& options = {}) const {
    return fit_dlinear(train, validation, options).errors(test);
  }

  ForecastRows train, validation, test;
};

TEST_CASE("baselines: DLinear learns what is linear, and the seed decides its bits", "[numeric]") {
  const Waves waves(1, 0);
  const auto errors = waves.dlinear();
  CHECK(errors.mse(8) < 0.05);
  CHECK(errors.mse(8) < 0.1 * repeat_errors(waves.test).mse(8));
  CHECK(at::equal(errors.squared, waves.dlinear().squared));
  CHECK_FALSE(at::equal(errors.squared, waves.dlinear({.seed = 1}).squared));
}

TEST_CASE("baselines: DLinear learns alike from values in another unit and around another level", "[numeric]") {
  const double errors = Waves(1, 0).dlinear().mse(8), tenths = Waves(10, 150).dlinear().mse(8);
  CHECK(tenths == Approx(100 * errors).epsilon(0.02));  // the same but for the rounding of float32
}

TEST_CASE("baselines: rows in float32 are summed up in float64", "[numeric]") {
  Waves waves(1, 0);
  const double exact = choose_ridge(waves.train, waves.validation).errors(waves.test).mse(8);
  for (auto* rows : {&waves.train, &waves.validation, &waves.test}) rows->values = rows->values.to(at::kFloat);
  const auto ridge = choose_ridge(waves.train, waves.validation);
  CHECK(ridge.weight.scalar_type() == at::kDouble);
  CHECK(ridge.errors(waves.test).mse(8) == Approx(exact).epsilon(1e-4).margin(1e-9));
}

}  // namespace unireplk::analysis
