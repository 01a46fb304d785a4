#include "unireplk/runner/forecast_baselines.h"

#include "unireplk/analysis/forecast_baselines.h"
#include "unireplk/core/log.h"
#include "unireplk/data/time_series/windows.h"
#include "unireplk/tasks/forecasting.h"

namespace unireplk::runner {
namespace {

using analysis::ForecastErrors;
using analysis::ForecastRows;
using data::time_series::RowRange;
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

/// Measures baselines by their names.
class Judge {
 public:
  Judge(const WindowSource& source, const tasks::ForecastingConfig& config) : source_(source), config_(config) {}

  std::vector<Baseline> judge() {
    for (const auto& name : config_.baselines) add(name);
    return std::move(baselines_);
  }

 private:
  void add(const std::string& name) {
    if (name == "repeat") return add(name, analysis::repeat_errors(own()));
    if (name == "daily") return add_daily();
    if (!source_.series().parts) return;  // the rows to learn from lie elsewhere
    const auto& parts = *source_.series().parts;
    const auto train = rows_in(parts.train), validation = rows_in(parts.validation);
    if (name == "dlinear") return add(name, analysis::dlinear_errors(train, validation, own()));
    const auto ridge = analysis::choose_ridge(train, validation);
    add(format("ridge ({}, {})", to_text(ridge.norm), ridge.penalty), ridge.errors(own()));
  }

  void add(std::string name, const ForecastErrors& errors) {
    baselines_.push_back({std::move(name), metrics_of(errors, config_)});
  }

  /// Where a day is a whole number of rows, and fits into a window.
  void add_daily() {
    constexpr int64_t kDay = 24 * 3600;
    const auto step = source_.series().constants.find("step");
    if (step == source_.series().constants.end()) return;
    const int64_t seconds = step->second.item<int64_t>();
    if (kDay % seconds != 0 || seconds == kDay || kDay / seconds > source_.shape().input) return;
    add("daily", analysis::periodic_errors(own(), kDay / seconds));
  }

  ForecastRows rows_of(const at::Tensor& values) const {
    return {.values = values, .input = source_.shape().input, .horizon = source_.shape().horizon};
  }

  ForecastRows rows_in(const RowRange& range) const {
    return rows_of(source_.series().parts->targets.narrow(0, range.begin, range.size()));
  }

  ForecastRows own() const {
    const auto& series = source_.series();
    if (series.parts) return rows_in(series.parts->own);
    const int64_t channels = series.values.size(1);
    return rows_of(series.values.narrow(1, channels - series.num_targets, series.num_targets).to(at::kDouble));
  }

  const WindowSource& source_;
  const tasks::ForecastingConfig& config_;
  std::vector<Baseline> baselines_;
};

}  // namespace

std::string Baseline::text() const {
  std::string out = name + ":";
  for (const auto& metric : metrics) out += format(" {} {:.4f}", metric.name, metric.value);
  return out;
}

std::vector<Baseline> forecast_baselines(const data::Source& source, const config::Choice<tasks::TaskSignature>& task) {
  const auto* windows = dynamic_cast<const WindowSource*>(&source);
  const auto* config = task.config_if<tasks::ForecastingConfig>();
  return windows && config ? Judge(*windows, *config).judge() : std::vector<Baseline>{};
}

void tell(const std::vector<Baseline>& baselines) {
  for (const auto& baseline : baselines) log_info("  beside it, {}", baseline.text());
}

void BaselineObserver::on_validation(const train::ValidationRecord&) {
  if (!source_) return;
  if (!baselines_) baselines_ = forecast_baselines(*source_, task_);
  tell(*baselines_);
}

}  // namespace unireplk::runner
