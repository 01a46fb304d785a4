#pragma once

#include "unireplk/tasks/network.h"
#include "unireplk/tasks/task.h"

namespace unireplk::tasks {

/// Sums of an evaluation with one label for each map. They stay on the network's device, in double, until result().
class ClassificationEvaluation : public Evaluation {
 public:
  explicit ClassificationEvaluation(Network network) : network_(std::move(network)) {}

  void add(const Batch& batch) override;
  void merge(const Evaluation& other) override;

  /// top1, top5 (%) and loss; NaN while nothing has been counted.
  std::vector<Metric> result() const override;

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  void add_sums(const at::Tensor& sums);

  Network network_;
  at::Tensor sums_;  ///< double [4]: samples, sum of losses, right in the first, right among the first five
};

}  // namespace unireplk::tasks
