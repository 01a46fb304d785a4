#include "unireplk/tasks/classification.h"

#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/nn/evaluation_mode.h"
#include "unireplk/tasks/classification_evaluation.h"
#include "unireplk/tasks/ranked_classes.h"

namespace unireplk::tasks {
namespace {

/// Of narrow logits all losses are taken in float32, as under PyTorch's autocast.
at::Tensor wide(const at::Tensor& logits) { return logits.to(c10::promoteTypes(logits.scalar_type(), at::kFloat)); }

}  // namespace

at::Tensor label_cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing) {
  return at::cross_entropy_loss(wide(logits), labels, /*weight=*/{}, at::Reduction::Mean, /*ignore_index=*/-100,
                                label_smoothing);
}

at::Tensor soft_cross_entropy(const at::Tensor& logits, const at::Tensor& targets) {
  const auto log_shares = at::log_softmax(wide(logits), 1);
  return targets.to(log_shares.scalar_type()).mul(log_shares).sum(1).mean().neg();
}

at::Tensor binary_cross_entropy(const at::Tensor& logits, const at::Tensor& targets, std::optional<double> threshold) {
  const at::Tensor wanted = threshold ? targets.gt(*threshold) : targets;
  const auto values = wide(logits);
  return at::binary_cross_entropy_with_logits(values, wanted.to(values.scalar_type()));
}

void check_classifies(const char* task, const Network& network, const DataInfo& info) {
  if (info.classes.empty()) {
    throw UserError({"task.name", format("{} needs data with classes, and these name none", task),
                     "Choose data with classes, or another task."});
  }
  if (network.forward) return;
  throw UserError({"model.head", "expected a head that classifies, got one that forecasts",
                   "Write name: classifier, or another task."});
}

Classification::Classification(const ClassificationConfig& config, Network network, DataInfo info)
    : config_(config), network_(std::move(network)), info_(std::move(info)), input_(info_) {
  check_classifies("classification", network_, info_);
}

std::vector<FieldSpec> Classification::needs() const {
  return {input_.field(), {.name = "label", .dtype = at::kLong, .shape = {}, .meaning = "index of the class"}};
}

void Classification::prepare(Batch& batch, const Step& step, bool training) {
  at::Tensor maps = input_.map_of(batch.tensor("image"));
  const bool is_mixed = config_.mixing.is_on();
  if (training && (config_.erasing || is_mixed)) {
    UNIREPLK_CHECK(step.generator.defined(), "classification: erasing and mixing need the step's generator");
    if (config_.erasing) erase(maps, *config_.erasing, step.generator);
    if (is_mixed) batch.fields["kept"] = mix(maps, config_.mixing, step.generator);
  }
  batch.fields["image"] = maps;
}

at::Tensor Classification::loss_of(const at::Tensor& logits, const Batch& batch) const {
  if (config_.loss == LossKind::kBinaryCrossEntropy) {
    return binary_cross_entropy(logits, targets_of(batch, logits.size(1)), config_.bce_target_threshold);
  }
  const bool is_hard = !batch.has("target") && !batch.has("kept");
  if (is_hard) return label_cross_entropy(logits, batch.tensor("label"), config_.label_smoothing);
  return soft_cross_entropy(logits, targets_of(batch, logits.size(1)));
}

/// Targets [B, classes], mixed as the maps were.
at::Tensor Classification::targets_of(const Batch& batch, int64_t classes) const {
  if (batch.has("target")) {
    const at::Tensor& target = batch.tensor("target");
    return batch.has("kept") ? shared_targets(target, batch.tensor("kept")) : target;
  }
  const at::Tensor& labels = batch.tensor("label");
  const at::Tensor kept =
      batch.has("kept") ? batch.tensor("kept") : at::ones(labels.sizes(), labels.options().dtype(at::kFloat));
  return mixed_targets(labels, classes, config_.label_smoothing, kept);
}

Losses Classification::losses(const Batch& batch, const Step& step) {
  const at::Tensor logits = network_.forward(batch.tensor("image"), step.drawn_from());  // [B, C]
  return {.total = loss_of(logits, batch), .parts = {}};
}

void Classification::observe(const Batch& batch, const Step& step, const PartObserver& observer) {
  if (network_.observe) network_.observe(batch.tensor("image"), step.drawn_from(), observer);
}

std::vector<Prediction> Classification::predict(const Batch& batch) {
  const nn::EvaluationMode mode(network());
  const at::Tensor logits = network_.forward(batch.tensor("image"), std::nullopt);
  return ranked_classes(at::softmax(logits.to(at::kDouble), 1), batch.keys, info_);
}

std::unique_ptr<Evaluation> Classification::start_evaluation() {
  return std::make_unique<ClassificationEvaluation>(network_);
}

}  // namespace unireplk::tasks
