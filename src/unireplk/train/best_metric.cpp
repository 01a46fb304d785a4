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

bool BestMetric::consider(const tasks::Metric& primary, int64_t step) {
  if (!std::isfinite(primary.value)) return false;
  const bool better = step_ < 0 || (primary.higher_is_better ? primary.value > value_ : primary.value < value_);
  if (!better) return false;
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
