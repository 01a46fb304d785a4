#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Forecasts that need no network, by which one is judged. Source: spec/time_series.md, B5 and B7.
namespace unireplk::analysis {

/// Rows over time, cut to windows.
struct ForecastRows {
  at::Tensor values;     ///< [T, C] floating; every channel is forecast, in float64
  int64_t input = 96;    ///< rows of a window
  int64_t horizon = 96;  ///< rows behind it

  int64_t windows() const { return values.size(0) - input - horizon + 1; }
};

/// Errors over all windows and channels, summed up in float64.
struct ForecastErrors {
  at::Tensor squared, absolute;  ///< [H] float64: mean of each row ahead

  double mse(int64_t rows) const;  ///< over the first `rows` rows ahead
  double mae(int64_t rows) const;
};

/// The last row, over and over.
ForecastErrors repeat_errors(const ForecastRows& rows);

/// The last `period` rows, over and over. \param period  1 to the rows of a window.
ForecastErrors periodic_errors(const ForecastRows& rows, int64_t period);

/// What is taken from window and target before a linear fit: nothing, the last value, the mean, or the mean and the
/// deviation.
enum class LinearNorm { kNone, kLast, kMean, kMeanStd };
std::string_view to_text(LinearNorm norm);

/// A linear map from a window to the rows behind it, the same for all channels.
struct LinearForecast {
  LinearNorm norm = LinearNorm::kMean;
  double penalty = 0.001;  ///< of the fit, for each row
  at::Tensor weight;       ///< [L + 1, H] float64; the last row is the bias

  ForecastErrors errors(const ForecastRows& rows) const;
};

/// Least squares with penalty * rows * |W|^2, the bias free, for each of the penalties; in closed form, float64.
std::vector<LinearForecast> fit_ridge(const ForecastRows& train, LinearNorm norm, const std::vector<double>& penalties);

/// The ridge of the norm and the penalty (0.0001, 0.001, 0.01) that forecast the validation rows best.
LinearForecast choose_ridge(const ForecastRows& train, const ForecastRows& validation);

/// DLinear: a linear map of the moving mean over 25 rows and one of the rest, trained by Adam on the mean squared error
/// of batches of 32 windows; the epoch that was best on the validation rows of at most 10, patience 3, the rate halved
/// each epoch from the third on. An epoch takes at most `most_steps` steps. It learns from values over their deviation
/// around their mean, those of all training rows together, so that the unit of the data does not matter. The same seed
/// gives the same bits.
struct DLinearOptions {
  double lr = 5e-3;
  int64_t epochs = 10;
  int64_t most_steps = 1000;
  uint64_t seed = 0;
};

/// The one linear map that both come to, without penalty.
LinearForecast fit_dlinear(const ForecastRows& train, const ForecastRows& validation,
                           const DLinearOptions& options = {});

}  // namespace unireplk::analysis
