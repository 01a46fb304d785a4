#include "unireplk/train/best_metric.h"

#include <algorithm>
#include <cmath>

#include "unireplk/core/error.h"

namespace unireplk::train {

const tasks::Metric& primary_of(const std::vector<tasks::Metric>& metrics) {
  const auto primary = std::find_if(metrics.begin(), metrics.end(), [](const auto& metric) { return metric.primary; });
  UNIREPLK_CHECK(primary != metrics.end(), "a task has to name a primary metric");
  return *primary;
}

bool is_better(const tasks::Metric& metric, std::optional<double> best, double margin) {
  if (!std::isfinite(metric.value)) return false;
  if (!best) return true;
  return metric.higher_is_better ? metric.value > *best + margin : metric.value < *best - margin;
}

bool BestMetric::consider(const tasks::Metric& primary, int64_t step) {
  if (!is_better(primary, step_ < 0 ? std::nullopt : std::optional(value_))) return false;
  value_ = primary.value;
  step_ = step;
  return true;
}

void BestMetric::save(StateWriter& writer) const {
  writer.number("value", value_);
  writer.integer("step", step_);
}

void BestMetric::load(const StateReader& reader) {
  value_ = reader.number("value");
  step_ = reader.integer("step");
}

}  // namespace unireplk::train
