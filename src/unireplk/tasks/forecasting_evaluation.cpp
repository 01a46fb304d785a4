#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>

#include <algorithm>

#include "unireplk/core/format.h"
#include "unireplk/nn/evaluation_mode.h"
#include "unireplk/tasks/counted.h"
#include "unireplk/tasks/forecasting.h"

namespace unireplk::tasks {

void ForecastingEvaluation::add(const Batch& batch) {
  const nn::EvaluationMode mode(*network_.module);
  const int64_t targets = batch.tensor("future").size(2);
  const auto forecast = forecast_targets(forecaster_, batch, targets, std::nullopt).to(at::kDouble);
  const auto error = (forecast - batch.tensor("future").to(at::kDouble))
                         .index({counted(batch.keys).to(forecast.device())});  // [counted, H, T]
  add_sums(at::stack({at::ones_like(error), error.square(), error.abs()}).sum({1, 3}));
}

std::vector<Metric> ForecastingEvaluation::result() const {
  const at::Tensor sums = sums_or_zeros({3, 1});
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

}  // namespace unireplk::tasks
