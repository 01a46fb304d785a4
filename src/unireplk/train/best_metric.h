#pragma once

#include <vector>

#include "unireplk/tasks/task.h"
#include "unireplk/tensor/state.h"

namespace unireplk::train {

/// The metric that decides. \throws ContractError when a task names none.
const tasks::Metric& primary_of(const std::vector<tasks::Metric>& metrics);

/// The best value of the primary metric so far, and the step it belongs to.
class BestMetric : public Stateful {
 public:
  /// Take in the primary metric of a step. True when it is better than all before; a value that is not finite never is.
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
