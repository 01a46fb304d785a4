#include "unireplk/train/norm_statistics.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include "unireplk/core/error.h"
#include "unireplk/nn/layers.h"

namespace unireplk::train {

NormStatistics::NormStatistics(const torch::nn::Module& network) {
  for (const auto& module : network.modules()) {
    const auto* norm = module->as<nn::BatchNormImpl>();
    if (!norm || norm->frozen) continue;
    for (const auto& statistic : {norm->running_mean, norm->running_var}) {
      running_.push_back(statistic);
      sums_.push_back(at::zeros_like(statistic, at::kDouble));
    }
    counts_.push_back(norm->num_batches_tracked);
    kept_counts_.push_back(norm->num_batches_tracked.clone());
  }
}

// From 0 a batch moves a running statistic to its own value times the momentum.
void NormStatistics::begin_batch() {
  const at::NoGradGuard no_grad;
  for (auto& statistic : running_) statistic.zero_();
}

void NormStatistics::end_batch() {
  const at::NoGradGuard no_grad;
  ++batches_;
  for (size_t i = 0; i < running_.size(); ++i) sums_[i].add_(running_[i].to(at::kDouble));
}

void NormStatistics::finish() {
  UNIREPLK_CHECK(batches_ > 0, "running statistics need a batch");
  const at::NoGradGuard no_grad;
  const double share = nn::BatchNormImpl::kMomentum * static_cast<double>(batches_);
  for (size_t i = 0; i < running_.size(); ++i) running_[i].copy_(sums_[i] / share);
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i].copy_(kept_counts_[i]);
}

}  // namespace unireplk::train
