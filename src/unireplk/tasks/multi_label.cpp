#include "unireplk/tasks/multi_label.h"

#include <ATen/ops/sigmoid.h>

#include "unireplk/nn/evaluation_mode.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/tasks/ranked_classes.h"

namespace unireplk::tasks {

MultiLabel::MultiLabel(const MultiLabelConfig& config, Network network, DataInfo info)
    : config_(config), network_(std::move(network)), info_(std::move(info)), input_(info_) {
  check_classifies("multi_label", network_, info_);
}

std::vector<FieldSpec> MultiLabel::needs() const {
  if (info_.find("label")) {
    return {input_.field(), {.name = "label", .dtype = at::kLong, .shape = {}, .meaning = "index of the class"}};
  }
  return {
      input_.field(),
      {.name = "target", .dtype = at::kFloat, .shape = {std::ssize(info_.classes)}, .meaning = "share of each class"}};
}

void MultiLabel::prepare(Batch& batch, const Step&, bool) {
  batch.fields["image"] = input_.map_of(batch.tensor("image"));
}

Losses MultiLabel::losses(const Batch& batch, const Step& step) {
  const at::Tensor logits = network_.forward(batch.tensor("image"), step.drawn_from());  // [B, C]
  return {.total = tasks::binary_cross_entropy(logits, multi_label_targets(batch, logits.size(1)), std::nullopt),
          .parts = {}};
}

void MultiLabel::observe(const Batch& batch, const Step& step, const PartObserver& observer) {
  if (network_.observe) network_.observe(batch.tensor("image"), step.drawn_from(), observer);
}

std::vector<Prediction> MultiLabel::predict(const Batch& batch) {
  const nn::EvaluationMode mode(network());
  const at::Tensor logits = network_.forward(batch.tensor("image"), std::nullopt);
  return ranked_classes(at::sigmoid(logits.to(at::kDouble)), batch.keys, info_);
}

std::unique_ptr<Evaluation> MultiLabel::start_evaluation() {
  return std::make_unique<MultiLabelEvaluation>(network_, config_.metric);
}

}  // namespace unireplk::tasks
