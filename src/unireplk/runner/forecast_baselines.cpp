#include "unireplk/analysis/forecast_baselines.h"

#include <ATen/ops/equal.h>

#include <algorithm>

#include "unireplk/core/log.h"
#include "unireplk/data/time_series/windows.h"
#include "unireplk/runner/baselines.h"
#include "unireplk/tasks/forecasting.h"

namespace unireplk::runner {
namespace {

using analysis::ForecastErrors;
using analysis::ForecastRows;
using analysis::LinearForecast;
using data::time_series::SeriesParts;
using data::time_series::WindowedSeries;
using data::time_series::WindowSource;

std::vector<tasks::Metric> metrics_of(const ForecastErrors& errors, const tasks::ForecastingConfig& config) {
  std::vector<tasks::Metric> metrics;
  const auto add = [&](int64_t rows, const std::string& suffix) {
    metrics.push_back({.name = "mse" + suffix,
                       .value = errors.mse(rows) * config.unit * config.unit,
                       .unit = "",
                       .higher_is_better = false});
    metrics.push_back(
        {.name = "mae" + suffix, .value = errors.mae(rows) * config.unit, .unit = "", .higher_is_better = false});
  };
  add(errors.squared.size(0), "");
  for (const int64_t rows : config.horizons) add(rows, format("_{}", rows));
  return metrics;
}

/// Linear forecasts of some rows, each fitted when it is first asked for.
class Fits {
 public:
  Fits(ForecastRows train, ForecastRows validation) : train_(std::move(train)), validation_(std::move(validation)) {}

  bool are_of(const ForecastRows& train, const ForecastRows& validation) const {
    return is_same(train_, train) && is_same(validation_, validation);
  }

  const LinearForecast& ridge() {
    if (!ridge_) ridge_ = analysis::choose_ridge(train_, validation_);
    return *ridge_;
  }

  const LinearForecast& dlinear() {
    if (!dlinear_) dlinear_ = analysis::fit_dlinear(train_, validation_);
    return *dlinear_;
  }

 private:
  static bool is_same(const ForecastRows& a, const ForecastRows& b) {
    return a.input == b.input && a.horizon == b.horizon && a.values.scalar_type() == b.values.scalar_type() &&
           at::equal(a.values, b.values);
  }

  ForecastRows train_, validation_;
  std::optional<LinearForecast> ridge_, dlinear_;
};

class ForecastBaselines : public Baselines {
 public:
  explicit ForecastBaselines(tasks::ForecastingConfig config) : config_(std::move(config)) {}

  std::vector<Baseline> beside(const data::Dataset& evaluated) override {
    const auto* source = dynamic_cast<const WindowSource*>(evaluated.source.get());
    if (!source || config_.baselines.empty()) return {};
    const auto& series = source->series();
    const SeriesParts parts =
        series.parts ? series.parts() : SeriesParts{.train = {}, .validation = {}, .own = targets_of(series)};
    const auto own = rows_of(*source, parts.own);
    std::vector<Baseline> baselines;
    const auto add = [&](std::string name, const ForecastErrors& errors) {
      baselines.push_back({std::move(name), metrics_of(errors, config_)});
    };
    if (wants("repeat")) add("repeat", analysis::repeat_errors(own));
    const auto day = rows_of_a_day(*source);
    if (wants("daily") && day) add("daily", analysis::periodic_errors(own, *day));
    auto* fits = wants("ridge") || wants("dlinear") ? fits_for(*source, parts) : nullptr;
    if (fits && wants("ridge")) {
      const auto& ridge = fits->ridge();
      add(format("ridge ({}, {})", to_text(ridge.norm), ridge.penalty), ridge.errors(own));
    }
    if (fits && wants("dlinear")) add("dlinear", fits->dlinear().errors(own));
    return baselines;
  }

 private:
  bool wants(const char* name) const { return std::ranges::count(config_.baselines, name) > 0; }

  static ForecastRows rows_of(const WindowSource& source, const at::Tensor& values) {
    return {.values = values, .input = source.shape().input, .horizon = source.shape().horizon};
  }

  static at::Tensor targets_of(const WindowedSeries& series) {
    return series.values.narrow(1, series.values.size(1) - series.num_targets, series.num_targets);
  }

  /// Where a day is a whole number of rows, and fits into a window.
  static std::optional<int64_t> rows_of_a_day(const WindowSource& source) {
    constexpr int64_t kDay = 24 * 3600;
    const auto step = source.series().constants.find("step");
    if (step == source.series().constants.end()) return std::nullopt;
    const int64_t seconds = step->second.item<int64_t>();
    if (kDay % seconds != 0 || seconds == kDay || kDay / seconds > source.shape().input) return std::nullopt;
    return kDay / seconds;
  }

  /// Those of the part before where they learn from the same rows; null where there are none to learn from.
  Fits* fits_for(const WindowSource& source, const SeriesParts& parts) {
    if (!parts.train.defined()) {
      log_info("ridge and dlinear are left out: the training and validation rows beside {} are not there",
               source.series().place);
      return nullptr;
    }
    auto train = rows_of(source, parts.train), validation = rows_of(source, parts.validation);
    if (!fits_ || !fits_->are_of(train, validation)) fits_.emplace(std::move(train), std::move(validation));
    return &*fits_;
  }

  tasks::ForecastingConfig config_;
  std::optional<Fits> fits_;
};

}  // namespace

std::unique_ptr<Baselines> forecast_baselines(const config::Choice<tasks::TaskSignature>& task) {
  return std::make_unique<ForecastBaselines>(task.config<tasks::ForecastingConfig>());
}

}  // namespace unireplk::runner
