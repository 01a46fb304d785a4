#pragma once

#include "unireplk/tasks/network.h"
#include "unireplk/tasks/summed_evaluation.h"

namespace unireplk::tasks {

/// An evaluation with one label for each map. Its sums, [4]: samples, losses, right in the first, right among the first
/// five.
class ClassificationEvaluation : public SummedEvaluation {
 public:
  explicit ClassificationEvaluation(Network network) : network_(std::move(network)) {}

  void add(const Batch& batch) override;

  /// top1, top5 (%) and loss; NaN while nothing has been counted.
  std::vector<Metric> result() const override;

 private:
  Network network_;
};

}  // namespace unireplk::tasks
