#include "unireplk/tasks/classification_evaluation.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/topk.h>

#include <algorithm>

#include "unireplk/nn/evaluation_mode.h"
#include "unireplk/tasks/counted.h"

namespace unireplk::tasks {
namespace {

constexpr int64_t kFirst = 5;

}  // namespace

void ClassificationEvaluation::add(const Batch& batch) {
  const nn::EvaluationMode mode(*network_.module);
  const at::Tensor labels = batch.tensor("label");
  const at::Tensor logits = network_.forward(batch.tensor("image"), std::nullopt);  // [B, C]
  const at::Tensor weights = counted(batch.keys).to(logits.device(), at::kDouble);
  const at::Tensor losses = at::cross_entropy_loss(logits.to(at::kDouble), labels, /*weight=*/{}, at::Reduction::None);
  const at::Tensor best = std::get<1>(at::topk(logits, std::min(kFirst, logits.size(1)), 1));
  const at::Tensor hits = best.eq(labels.unsqueeze(1)).to(at::kDouble);  // [B, <= 5]
  // where() and not a product: a padding sample may well have a loss that is not finite.
  add_sums(at::stack({weights.sum(), losses.where(weights.gt(0), 0.0).sum(), hits.select(1, 0).mul(weights).sum(),
                      hits.sum(1).mul(weights).sum()}));
}

std::vector<Metric> ClassificationEvaluation::result() const {
  const at::Tensor sums = sums_or_zeros({4});
  const double* sum = sums.const_data_ptr<double>();
  return {{.name = "top1", .value = 100 * sum[2] / sum[0], .unit = "%", .higher_is_better = true, .primary = true},
          {.name = "top5", .value = 100 * sum[3] / sum[0], .unit = "%", .higher_is_better = true, .primary = false},
          {.name = "loss", .value = sum[1] / sum[0], .unit = "", .higher_is_better = false, .primary = false}};
}

}  // namespace unireplk::tasks
