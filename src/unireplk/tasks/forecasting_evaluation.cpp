#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/nn/evaluation_mode.h"
#include "unireplk/tasks/forecasting.h"

namespace unireplk::tasks {

void ForecastingEvaluation::add(const Batch& batch) {
  const nn::EvaluationMode mode(*network_.module);
  const int64_t targets = batch.tensor("future").size(2);
  const auto forecast = forecast_targets(forecaster_, batch, targets, std::nullopt).to(at::kDouble);
  std::vector<uint8_t> counts(batch.keys.size());
  std::ranges::transform(batch.keys, counts.begin(), [](const SampleKey& key) { return key.padding ? 0 : 1; });
  const auto counted = at::tensor(counts, at::kByte).to(forecast.device(), at::kBool);
  const auto error = (forecast - batch.tensor("future").to(at::kDouble)).index({counted});  // [counted, H, T]
  const auto ones = at::zeros_like(error).add_(1);
  add_sums(at::stack({ones, error.square(), error.abs()}).sum({1, 3}));
}

void ForecastingEvaluation::add_sums(const at::Tensor& sums) {
  if (!sums_.defined()) sums_ = at::zeros_like(sums);
  sums_.add_(sums.to(sums_.device()));
}

void ForecastingEvaluation::merge(const Evaluation& other) {
  const auto* same = dynamic_cast<const ForecastingEvaluation*>(&other);
  UNIREPLK_CHECK(same, "only evaluations of one task can be merged");
  if (same->sums_.defined()) add_sums(same->sums_);
}

std::vector<Metric> ForecastingEvaluation::result() const {
  const at::Tensor sums = (sums_.defined() ? sums_ : at::zeros({3, 1}, at::kDouble)).cpu();
  std::vector<Metric> metrics;
  const auto add = [&](int64_t rows, const std::string& suffix, bool primary) {
    const auto total = sums.narrow(1, 0, std::min(rows, sums.size(1))).sum(1);
    const double count = total[0].item<double>(), unit = config_.unit;
    metrics.push_back({.name = "mse" + suffix,
                       .value = total[1].item<double>() / count * unit * unit,
                       .unit = "",
                       .higher_is_better = false,
                       .primary = primary});
    metrics.push_back({.name = "mae" + suffix,
                       .value = total[2].item<double>() / count * unit,
                       .unit = "",
                       .higher_is_better = false});
  };
  add(sums.size(1), "", true);
  for (const int64_t rows : config_.horizons) add(rows, format("_{}", rows), false);
  return metrics;
}

void ForecastingEvaluation::save(StateWriter& writer) const {
  writer.tensor("sums", sums_.defined() ? sums_ : at::zeros({3, 0}, at::kDouble));
}

void ForecastingEvaluation::load(const StateReader& reader) {
  const auto sums = reader.tensor("sums").to(at::kDouble).clone();
  sums_ = sums.size(1) > 0 ? sums : at::Tensor();
}

}  // namespace unireplk::tasks
