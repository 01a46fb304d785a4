#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/models/recordable.h"
#include "unireplk/tasks/map_input.h"
#include "unireplk/tasks/multi_label_evaluation.h"
#include "unireplk/tasks/network.h"
#include "unireplk/tasks/task.h"

namespace unireplk::tasks {

/// `name: multi_label`.
struct MultiLabelConfig {
  MultiLabelMetric metric = MultiLabelMetric::kMeanAveragePrecision;

  static void fields(auto& self, auto&& visit) {
    visit("metric", self.metric, "What decides which checkpoint is best: mAP or accuracy.");
  }
};

/// Any number of labels for each map, each class by itself against the others.
///
/// Batch fields: `image` as map_input.h says, and `target` floating [B, C], shares in [0, 1], or `label` int64 [B].
/// Loss: mean binary cross-entropy. Metrics: multi_label_evaluation.h.
class MultiLabel : public Task {
 public:
  /// \param info  as of Classification, and so are the errors.
  MultiLabel(const MultiLabelConfig& config, Network network, DataInfo info);

  torch::nn::Module& network() override { return *network_.module; }
  std::vector<FieldSpec> needs() const override;
  void prepare(Batch& batch, const Step& step, bool training) override;
  Losses losses(const Batch& batch, const Step& step) override;
  std::string unrecordable() const override { return models::unrecordable_part(*network_.module); }
  void observe(const Batch& batch, const Step& step, const PartObserver& observer) override;
  std::vector<Prediction> predict(const Batch& batch) override;
  std::unique_ptr<Evaluation> start_evaluation() override;

 private:
  MultiLabelConfig config_;
  Network network_;
  DataInfo info_;
  MapInput input_;
};

}  // namespace unireplk::tasks

namespace unireplk::config {

template <>
struct EnumNames<tasks::MultiLabelMetric> {
  static constexpr std::pair<std::string_view, tasks::MultiLabelMetric> values[] = {
      {"mAP", tasks::MultiLabelMetric::kMeanAveragePrecision}, {"accuracy", tasks::MultiLabelMetric::kAccuracy}};
};

}  // namespace unireplk::config
