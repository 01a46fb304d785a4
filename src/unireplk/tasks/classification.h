#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/models/recordable.h"
#include "unireplk/tasks/erasing.h"
#include "unireplk/tasks/map_input.h"
#include "unireplk/tasks/mixing.h"
#include "unireplk/tasks/network.h"
#include "unireplk/tasks/task.h"

namespace unireplk::tasks {

/// What logits are held against their targets by.
enum class LossKind { kCrossEntropy, kBinaryCrossEntropy };

/// `name: classification`.
struct ClassificationConfig {
  LossKind loss = LossKind::kCrossEntropy;
  std::optional<double> bce_target_threshold = {};
  double label_smoothing = 0.1;
  MixingConfig mixing = {};
  std::optional<ErasingConfig> erasing = {};
  std::vector<std::string> baselines = {};

  static void fields(auto& self, auto&& visit) {
    visit("loss", self.loss, "Over all classes together, or each class by itself against the others; training only.");
    visit("bce_target_threshold", self.bce_target_threshold, config::below_one,
          "With binary_cross_entropy: smoothed and mixed targets above it count as 1, the others as 0.");
    visit("label_smoothing", self.label_smoothing, config::below_one,
          "Share of the target spread evenly over all classes; training only.");
    MixingConfig::fields(self.mixing, visit);
    visit("erasing", self.erasing, "Rectangles to erase in training; left out: none.");
    visit("baselines", self.baselines, config::one_of({"majority", "ridge"}),
          "Classifiers without a network, measured on the same items and shown beside it.");
  }
  void validate(config::Problems& problems) const {
    mixing.validate(problems);
    if (bce_target_threshold && loss != LossKind::kBinaryCrossEntropy) {
      problems.add("bce_target_threshold", "has no meaning for this loss", "Set loss: binary_cross_entropy.");
    }
  }
};

/// Mean cross-entropy of logits [B, C] against labels [B] (int64), smoothed: spec/image.md section 7.
at::Tensor label_cross_entropy(const at::Tensor& logits, const at::Tensor& labels, double label_smoothing);

/// Mean over the batch of -sum_c y_c log_softmax(z)_c, targets [B, C] in any floating dtype.
at::Tensor soft_cross_entropy(const at::Tensor& logits, const at::Tensor& targets);

/// Mean over batch and classes of the binary cross-entropy of sigmoid(logits) against targets [B, C], as timm's
/// BinaryCrossEntropy. \param threshold  when given, targets become 1 above it and 0 elsewhere.
at::Tensor binary_cross_entropy(const at::Tensor& logits, const at::Tensor& targets, std::optional<double> threshold);

/// Check that a task has classes to tell apart. \param task  its name in a config.
/// \throws UserError when the data name none, or the network forecasts.
void check_classifies(const char* task, const Network& network, const DataInfo& info);

/// One label for each map.
///
/// Batch fields: `image`, either uint8 [B, H, W, C], of which prepare() makes a normalised floating map [B, C, H, W],
/// channels last, or such a map float32 [B, C, H, W] that the pipeline has made ready; `label` int64 [B], and `target`
/// [B, C] where soft targets replace the labels in the loss. In training prepare() also erases and mixes, and adds
/// `kept` float32 [B] where it mixes: each sample's own share of its target.
/// Metrics: top1 (primary) and top5 in %, the latter clipped to the class count; loss without smoothing.
class Classification : public Task {
 public:
  /// \param info  classes, the field `image`, and for bytes the constants `mean` and `std`, [C] each, in units of a
  ///              0..1 image.
  /// \throws UserError as check_classifies(), ContractError when a constant is missing.
  Classification(const ClassificationConfig& config, Network network, DataInfo info);

  torch::nn::Module& network() override { return *network_.module; }
  std::vector<FieldSpec> needs() const override;
  void prepare(Batch& batch, const Step& step, bool training) override;
  Losses losses(const Batch& batch, const Step& step) override;
  std::string unrecordable() const override { return models::unrecordable_part(*network_.module); }
  void observe(const Batch& batch, const Step& step, const PartObserver& observer) override;
  std::vector<Prediction> predict(const Batch& batch) override;
  std::unique_ptr<Evaluation> start_evaluation() override;

 private:
  at::Tensor loss_of(const at::Tensor& logits, const Batch& batch) const;
  at::Tensor targets_of(const Batch& batch, int64_t classes) const;

  ClassificationConfig config_;
  Network network_;
  DataInfo info_;
  MapInput input_;
};

}  // namespace unireplk::tasks

namespace unireplk::config {

template <>
struct EnumNames<tasks::LossKind> {
  static constexpr std::pair<std::string_view, tasks::LossKind> values[] = {
      {"cross_entropy", tasks::LossKind::kCrossEntropy},
      {"binary_cross_entropy", tasks::LossKind::kBinaryCrossEntropy}};
};

}  // namespace unireplk::config
