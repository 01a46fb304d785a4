#pragma once

#include <vector>

#include "unireplk/tasks/task.h"
#include "unireplk/tensor/state.h"

namespace unireplk::train {

/// The best value of the primary metric so far, and the step it belongs to.
class BestMetric : public Stateful {
 public:
  /// Take in the metrics of a step. True when its primary metric is better than all before; a value that is not finite
  /// never is.
  bool consider(const std::vector<tasks::Metric>& metrics, int64_t step);

  double value() const { return value_; }
  int64_t step() const { return step_; }  ///< -1 before the first

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  double value_ = 0;
  int64_t step_ = -1;
};

}  // namespace unireplk::train
