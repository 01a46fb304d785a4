#pragma once

#include <optional>
#include <vector>

#include "unireplk/tasks/task.h"
#include "unireplk/tensor/state.h"

namespace unireplk::train {

/// The metric that decides. \throws ContractError when a task names none.
const tasks::Metric& primary_of(const std::vector<tasks::Metric>& metrics);

/// Whether a metric is better than a value by more than `margin`; all are better than none, what is not finite never
/// is.
bool is_better(const tasks::Metric& metric, std::optional<double> best, double margin = 0);

/// The best value of the primary metric so far, and the step it belongs to.
class BestMetric : public Stateful {
 public:
  /// Take in the primary metric of a step. True when it is better than all before.
  bool consider(const tasks::Metric& primary, int64_t step);

  double value() const { return value_; }
  int64_t step() const { return step_; }  ///< -1 before the first

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  double value_ = 0;
  int64_t step_ = -1;
};

}  // namespace unireplk::train
