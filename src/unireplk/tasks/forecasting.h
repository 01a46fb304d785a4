#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/models/forecaster.h"
#include "unireplk/models/recordable.h"
#include "unireplk/tasks/network.h"
#include "unireplk/tasks/summed_evaluation.h"
#include "unireplk/tasks/task.h"

namespace unireplk::tasks {

/// `name: forecasting`.
struct ForecastingConfig {
  std::vector<int64_t> horizons = {};
  double unit = 1;
  std::vector<std::string> baselines = {"repeat", "daily", "ridge", "dlinear"};

  static void fields(auto& self, auto&& visit) {
    visit("horizons", self.horizons, config::at_least(1),
          "Measure the first so many rows too: one network for several horizons, each a metric mse_N and mae_N.");
    visit("unit", self.unit, config::positive,
          "What one of the data's units is in those of the metrics: 0.1 where files hold tenths.");
    visit("baselines", self.baselines, config::one_of({"repeat", "daily", "ridge", "dlinear"}),
          "Forecasts without a network, measured on the same windows and shown beside it.");
  }
};

/// Rows behind a window.
///
/// Batch fields: `window` float32 [B, L, C], `future` [B, H, T], the last T channels, `marks` [B, L + H, F]; for
/// predictions `times` int64 [B, H]. The loss is the mean squared error over rows and targets, in the data's units,
/// after the network has given its window's mean and deviation back.
/// Metrics: mse (primary, lower is better) and mae over all windows, rows and targets; the same of the first rows.
/// Predictions: values scaled back by the constants `scaler_mean` and `scaler_std`, where the data have them.
class Forecasting : public Task {
 public:
  /// \throws UserError when the network forecasts nothing, or a horizon is longer than the data's.
  Forecasting(ForecastingConfig config, Network network, DataInfo info);

  torch::nn::Module& network() override { return *network_.module; }
  std::vector<FieldSpec> needs() const override;
  void prepare(Batch& /*batch*/, const Step& /*step*/, bool /*training*/) override {}
  Losses losses(const Batch& batch, const Step& step) override;
  std::string unrecordable() const override { return models::unrecordable_part(*network_.module); }
  std::vector<Prediction> predict(const Batch& batch) override;
  std::unique_ptr<Evaluation> start_evaluation() override;

 private:
  int64_t rows_ahead() const { return info_.find("future")->shape[0]; }
  int64_t targets() const { return info_.find("future")->shape[1]; }

  ForecastingConfig config_;
  Network network_;
  models::ForecasterImpl* forecaster_;
  DataInfo info_;
};

/// The forecast of the targets, [B, H, targets]: the network's last channels.
at::Tensor forecast_targets(models::ForecasterImpl& network, const Batch& batch, int64_t targets,
                            std::optional<at::Generator> generator);

/// An evaluation of forecasts. Its sums, [3, H]: values counted, squared errors, absolute errors of each row ahead.
class ForecastingEvaluation : public SummedEvaluation {
 public:
  ForecastingEvaluation(ForecastingConfig config, Network network, models::ForecasterImpl& forecaster)
      : config_(std::move(config)), network_(std::move(network)), forecaster_(forecaster) {}

  void add(const Batch& batch) override;
  std::vector<Metric> result() const override;

 private:
  ForecastingConfig config_;
  Network network_;  ///< keeps the forecaster
  models::ForecasterImpl& forecaster_;
};

}  // namespace unireplk::tasks
