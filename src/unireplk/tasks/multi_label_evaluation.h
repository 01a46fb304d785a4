#pragma once

#include <vector>

#include "unireplk/tasks/network.h"
#include "unireplk/tasks/task.h"

namespace unireplk::tasks {

/// Which metric decides which checkpoint is best.
enum class MultiLabelMetric { kMeanAveragePrecision, kAccuracy };

/// Targets [B, classes] of a batch, floating: its field `target`, or 1 for its `label`.
at::Tensor multi_label_targets(const Batch& batch, int64_t classes);

/// Scores of all samples, kept on the CPU until result(). Metrics: mAP and auc (%, means over the classes that have
/// both samples with and without the label), d_prime of that mean, accuracy (%: the best score is of the largest
/// target), classes (how many of them the means are over), loss. Source: spec/audio.md section 7.
class MultiLabelEvaluation : public Evaluation {
 public:
  MultiLabelEvaluation(Network network, MultiLabelMetric primary) : network_(std::move(network)), primary_(primary) {}

  void add(const Batch& batch) override;
  void merge(const Evaluation& other) override;
  std::vector<Metric> result() const override;

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  at::Tensor all_of(const std::vector<at::Tensor>& parts) const;

  Network network_;
  MultiLabelMetric primary_;
  std::vector<at::Tensor> scores_;   ///< float32 [n, classes] each
  std::vector<at::Tensor> targets_;  ///< float32 [n, classes] each
  double loss_sum_ = 0;              ///< over samples and classes
};

}  // namespace unireplk::tasks
