#include "unireplk/tasks/classification_evaluation.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/nn/evaluation_mode.h"

namespace unireplk::tasks {
namespace {

constexpr int64_t kFirst = 5;

/// 1 for a sample that counts, 0 for padding; [B] double on `device`.
at::Tensor counted(const std::vector<SampleKey>& keys, at::Device device) {
  std::vector<double> weights(keys.size());
  std::transform(keys.begin(), keys.end(), weights.begin(),
                 [](const SampleKey& key) { return key.padding ? 0.0 : 1.0; });
  return at::tensor(weights, at::kDouble).to(device);
}

}  // namespace

void ClassificationEvaluation::add(const Batch& batch) {
  const nn::EvaluationMode mode(*network_.module);
  const at::Tensor labels = batch.tensor("label");
  const at::Tensor logits = network_.forward(batch.tensor("image"), std::nullopt);  // [B, C]
  const at::Tensor weights = counted(batch.keys, logits.device());
  const at::Tensor losses = at::cross_entropy_loss(logits.to(at::kDouble), labels, /*weight=*/{}, at::Reduction::None);
  const at::Tensor best = std::get<1>(at::topk(logits, std::min(kFirst, logits.size(1)), 1));
  const at::Tensor hits = best.eq(labels.unsqueeze(1)).to(at::kDouble);  // [B, <= 5]
  // where() and not a product: a padding sample may well have a loss that is not finite.
  add_sums(at::stack({weights.sum(), losses.where(weights.gt(0), 0.0).sum(), hits.select(1, 0).mul(weights).sum(),
                      hits.sum(1).mul(weights).sum()}));
}

void ClassificationEvaluation::add_sums(const at::Tensor& sums) {
  if (!sums_.defined()) sums_ = at::zeros({4}, sums.options());
  sums_.add_(sums.to(sums_.device()));
}

void ClassificationEvaluation::merge(const Evaluation& other) {
  const auto* same = dynamic_cast<const ClassificationEvaluation*>(&other);
  UNIREPLK_CHECK(same, "only evaluations of one task can be merged");
  if (same->sums_.defined()) add_sums(same->sums_);
}

std::vector<Metric> ClassificationEvaluation::result() const {
  const at::Tensor sums = (sums_.defined() ? sums_ : at::zeros({4}, at::kDouble)).cpu();
  const double* sum = sums.const_data_ptr<double>();
  return {{.name = "top1", .value = 100 * sum[2] / sum[0], .unit = "%", .higher_is_better = true, .primary = true},
          {.name = "top5", .value = 100 * sum[3] / sum[0], .unit = "%", .higher_is_better = true, .primary = false},
          {.name = "loss", .value = sum[1] / sum[0], .unit = "", .higher_is_better = false, .primary = false}};
}

void ClassificationEvaluation::save(StateWriter& writer) const {
  writer.tensor("sums", sums_.defined() ? sums_ : at::zeros({4}, at::kDouble));
}

void ClassificationEvaluation::load(const StateReader& reader) {
  sums_ = reader.tensor("sums").to(at::kDouble).clone();
}

}  // namespace unireplk::tasks
