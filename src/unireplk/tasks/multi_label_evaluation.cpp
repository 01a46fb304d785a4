#include "unireplk/tasks/multi_label_evaluation.h"

#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "unireplk/core/error.h"
#include "unireplk/nn/evaluation_mode.h"
#include "unireplk/tasks/counted.h"
#include "unireplk/tasks/ranking.h"

namespace unireplk::tasks {
namespace {

/// Sums over the classes that can be ranked.
struct Ranked {
  double average_precision = 0;
  double auc = 0;
  int64_t classes = 0;
};

/// \param scores, targets  [samples, classes].
Ranked rank_classes(const at::Tensor& scores, const at::Tensor& targets) {
  const auto by_class = scores.t().contiguous();
  const auto positive = targets.gt(0.5).to(at::kByte).t().contiguous();
  const auto samples = static_cast<size_t>(scores.size(0));
  Ranked ranked;
  for (int64_t c = 0; c < by_class.size(0); ++c) {
    const auto offset = c * scores.size(0);
    const auto one = rank({by_class.const_data_ptr<float>() + offset, samples},
                          {positive.const_data_ptr<uint8_t>() + offset, samples});
    if (!one) continue;
    ranked.average_precision += one->average_precision;
    ranked.auc += one->auc;
    ++ranked.classes;
  }
  return ranked;
}

}  // namespace

at::Tensor multi_label_targets(const Batch& batch, int64_t classes) {
  if (batch.has("target")) return batch.tensor("target");
  return at::one_hot(batch.tensor("label"), classes).to(at::kFloat);
}

void MultiLabelEvaluation::add(const Batch& batch) {
  const nn::EvaluationMode mode(*network_.module);
  const at::Tensor places = counted(batch.keys).nonzero().squeeze(1);
  if (places.numel() == 0) return;
  const at::Tensor all = network_.forward(batch.tensor("image"), std::nullopt);  // [B, C]
  const at::Tensor logits = all.to(at::kCPU, at::kFloat).index_select(0, places);
  const at::Tensor targets =
      multi_label_targets(batch, logits.size(1)).to(at::kCPU, at::kFloat).index_select(0, places);
  scores_.push_back(at::sigmoid(logits));
  targets_.push_back(targets);
  loss_sum_ += at::binary_cross_entropy_with_logits(logits.to(at::kDouble), targets.to(at::kDouble), /*weight=*/{},
                                                    /*pos_weight=*/{}, at::Reduction::Sum)
                   .item<double>();
}

void MultiLabelEvaluation::merge(const Evaluation& other) {
  const auto* same = dynamic_cast<const MultiLabelEvaluation*>(&other);
  UNIREPLK_CHECK(same, "only evaluations of one task can be merged");
  scores_.insert(scores_.end(), same->scores_.begin(), same->scores_.end());
  targets_.insert(targets_.end(), same->targets_.begin(), same->targets_.end());
  loss_sum_ += same->loss_sum_;
}

at::Tensor MultiLabelEvaluation::all_of(const std::vector<at::Tensor>& parts) const {
  return parts.empty() ? at::zeros({0, 0}) : at::cat(parts);
}

std::vector<Metric> MultiLabelEvaluation::result() const {
  const at::Tensor scores = all_of(scores_), targets = all_of(targets_);
  const auto ranked = rank_classes(scores, targets);
  const auto classes = static_cast<double>(ranked.classes), samples = static_cast<double>(scores.size(0));
  const double nothing = std::numeric_limits<double>::quiet_NaN();
  const double right = samples > 0 ? scores.argmax(1).eq(targets.argmax(1)).sum().item<double>() / samples : nothing;
  const double auc = ranked.auc / classes;
  const bool ranks = primary_ == MultiLabelMetric::kMeanAveragePrecision;
  return {{.name = "mAP", .value = 100 * ranked.average_precision / classes, .unit = "%", .primary = ranks},
          {.name = "auc", .value = 100 * auc, .unit = "%"},
          {.name = "d_prime", .value = ranked.classes > 0 ? d_prime(auc) : nothing, .unit = ""},
          {.name = "accuracy", .value = 100 * right, .unit = "%", .primary = !ranks},
          {.name = "classes", .value = classes, .unit = ""},
          {.name = "loss",
           .value = loss_sum_ / static_cast<double>(scores.numel()),
           .unit = "",
           .higher_is_better = false}};
}

void MultiLabelEvaluation::save(StateWriter& writer) const {
  writer.tensor("scores", all_of(scores_));
  writer.tensor("targets", all_of(targets_));
  writer.tensor("loss", at::tensor(loss_sum_, at::kDouble));
}

void MultiLabelEvaluation::load(const StateReader& reader) {
  scores_ = {reader.tensor("scores").clone()};
  targets_ = {reader.tensor("targets").clone()};
  loss_sum_ = reader.tensor("loss").item<double>();
}

}  // namespace unireplk::tasks
