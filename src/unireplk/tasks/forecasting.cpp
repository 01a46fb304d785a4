#include "unireplk/tasks/forecasting.h"

#include <ATen/ops/mse_loss.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/nn/evaluation_mode.h"

namespace unireplk::tasks {
namespace {

models::ForecasterImpl* forecaster_of(const Network& network) {
  auto* forecaster = dynamic_cast<models::ForecasterImpl*>(network.module.get());
  if (forecaster) return forecaster;
  throw UserError({"model.head", "expected a head that forecasts, got one that classifies",
                   "Write name: forecaster, or another task."});
}

}  // namespace

Forecasting::Forecasting(ForecastingConfig config, Network network, DataInfo info)
    : config_(std::move(config)),
      network_(std::move(network)),
      forecaster_(forecaster_of(network_)),
      info_(std::move(info)) {
  const auto* window = info_.find("window");
  const auto* future = info_.find("future");
  const bool are_rows = window && future && window->shape.size() == 2 && future->shape.size() == 2;
  if (!are_rows || future->shape[1] < 1 || future->shape[1] > window->shape[1]) {
    throw UserError({"data", "expected fields `window` and `future` of rows over time", "Choose a source of windows."});
  }
  for (const int64_t horizon : config_.horizons) {
    if (horizon <= rows_ahead()) continue;
    throw UserError({"task.horizons",
                     format("expected at most the {} rows that are forecast, got {}", rows_ahead(), horizon),
                     "Raise the horizon of the data."});
  }
}

std::vector<FieldSpec> Forecasting::needs() const {
  return {{.name = "window", .shape = {-1, -1}, .meaning = "rows x channels"},
          {.name = "future", .shape = {-1, -1}, .meaning = "rows x targets"},
          {.name = "marks", .shape = {-1, -1}, .meaning = "rows x numbers of the calendar"}};
}

at::Tensor forecast_targets(models::ForecasterImpl& network, const Batch& batch, int64_t targets,
                            std::optional<at::Generator> generator) {
  const auto all = network.forward({batch.tensor("window"), batch.tensor("marks")}, std::move(generator));
  return all.narrow(2, all.size(2) - targets, targets);
}

Losses Forecasting::losses(const Batch& batch, const Step& step) {
  const auto forecast = forecast_targets(*forecaster_, batch, targets(), step.drawn_from());
  return {.total = at::mse_loss(forecast.to(at::kFloat), batch.tensor("future")), .parts = {}};
}

std::vector<Prediction> Forecasting::predict(const Batch& batch) {
  const nn::EvaluationMode mode(network());
  auto rows = forecast_targets(*forecaster_, batch, targets(), std::nullopt).to(at::kCPU, at::kDouble);
  const int64_t channels = rows.size(2);
  const auto of_targets = [&](const at::Tensor& constant) {
    return constant.narrow(0, constant.size(0) - channels, channels);
  };
  if (const auto mean = info_.constants.find("scaler_mean"); mean != info_.constants.end()) {
    rows = rows * of_targets(info_.constants.at("scaler_std")) + of_targets(mean->second);
  }
  const std::vector<std::string> names(info_.series.end() - std::min(channels, std::ssize(info_.series)),
                                       info_.series.end());
  const auto times = batch.has("times") ? batch.tensor("times").cpu() : at::Tensor();
  std::vector<Prediction> predictions;
  for (int64_t i = 0; i < batch.size(); ++i) {
    predictions.push_back(
        {.key = batch.keys[static_cast<size_t>(i)],
         .items = {},
         .rows = {.names = names, .values = rows[i], .times = times.defined() ? times[i] : at::Tensor()}});
  }
  return predictions;
}

std::unique_ptr<Evaluation> Forecasting::start_evaluation() {
  return std::make_unique<ForecastingEvaluation>(config_, network_, *forecaster_);
}

}  // namespace unireplk::tasks
