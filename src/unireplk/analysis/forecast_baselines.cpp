#include "unireplk/analysis/forecast_baselines.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_cholesky.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <tuple>

#include "unireplk/core/error.h"
#include "unireplk/core/rng.h"

namespace unireplk::analysis {
namespace {

constexpr int64_t kChunkValues = 1 << 22;  // of windows side by side in memory

/// Call `visit` with pieces [R, L + H] float64 of all windows of all channels, in order.
void for_each_piece(const ForecastRows& rows, const std::function<void(const at::Tensor& piece)>& visit) {
  const int64_t length = rows.input + rows.horizon;
  const auto windows = rows.values.unfold(0, length, 1);  // [N, C, L + H]
  const int64_t at_once = std::max<int64_t>(1, kChunkValues / (length * rows.values.size(1)));
  for (int64_t first = 0; first < windows.size(0); first += at_once) {
    const int64_t count = std::min(at_once, windows.size(0) - first);
    visit(windows.narrow(0, first, count).reshape({-1, length}).to(at::kDouble));
  }
}

/// Errors of forecasts [R, H] that `forecast` makes of windows [R, L].
ForecastErrors errors_of(const ForecastRows& rows, const std::function<at::Tensor(const at::Tensor&)>& forecast) {
  const at::NoGradGuard no_graph;
  ForecastErrors sums{.squared = at::zeros({rows.horizon}, at::kDouble),
                      .absolute = at::zeros({rows.horizon}, at::kDouble)};
  for_each_piece(rows, [&](const at::Tensor& piece) {
    const auto error = forecast(piece.narrow(1, 0, rows.input)) - piece.narrow(1, rows.input, rows.horizon);
    sums.squared += error.square().sum(0);
    sums.absolute += error.abs().sum(0);
  });
  const auto count = static_cast<double>(rows.windows() * rows.values.size(1));
  return {.squared = sums.squared / count, .absolute = sums.absolute / count};
}

struct LinearScale {
  at::Tensor offset;  ///< [R, 1], or undefined
  at::Tensor scale;   ///< [R, 1], or undefined
};

LinearScale measure(const at::Tensor& window, LinearNorm norm) {
  constexpr double kEps = 1e-5;
  if (norm == LinearNorm::kNone) return {};
  if (norm == LinearNorm::kLast) return {.offset = window.narrow(1, window.size(1) - 1, 1), .scale = {}};
  const auto mean = window.mean(1, true);
  if (norm == LinearNorm::kMean) return {.offset = mean, .scale = {}};
  return {.offset = mean, .scale = (window.var(at::IntArrayRef{1}, false, true) + kEps).sqrt()};
}

at::Tensor normalised(const at::Tensor& x, const LinearScale& scale) {
  const auto centred = scale.offset.defined() ? x - scale.offset : x;
  return scale.scale.defined() ? centred / scale.scale : centred;
}

at::Tensor with_ones(const at::Tensor& x) { return at::cat({x, at::ones({x.size(0), 1}, x.options())}, 1); }

/// The matrix that gives the moving mean over 25 rows, the ends repeated: trend = x * matrix, [L, L].
at::Tensor moving_mean(int64_t rows) {
  constexpr int64_t kHalf = 12;
  auto matrix = at::zeros({rows, rows}, at::kFloat);
  auto at = matrix.accessor<float, 2>();
  for (int64_t to = 0; to < rows; ++to) {
    for (int64_t i = to - kHalf; i <= to + kHalf; ++i) {
      at[std::clamp<int64_t>(i, 0, rows - 1)][to] += 1.0f / (2 * kHalf + 1);
    }
  }
  return matrix;
}

/// Mean and deviation of all values together.
struct Level {
  double mean = 0, deviation = 1;

  explicit Level(const at::Tensor& values) : mean(values.mean(at::kDouble).item<double>()) {
    const double square = (values.to(at::kDouble) - mean).square().mean().item<double>();
    if (square > 0) deviation = std::sqrt(square);
  }
};

/// One tensor under Adam.
class Adam {
 public:
  explicit Adam(at::Tensor value) : value_(std::move(value)), mean_(at::zeros_like(value_)), square_(mean_.clone()) {}

  const at::Tensor& value() const { return value_; }

  void step(const at::Tensor& gradient, double lr) {
    constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEps = 1e-8;
    power1_ *= kBeta1, power2_ *= kBeta2;
    mean_.mul_(kBeta1).add_(gradient, 1 - kBeta1);
    square_.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
    value_.addcdiv_(mean_, (square_ / (1 - power2_)).sqrt_().add_(kEps), -lr / (1 - power1_));
  }

 private:
  at::Tensor value_, mean_, square_;
  double power1_ = 1, power2_ = 1;
};

class DLinear {
 public:
  DLinear(const ForecastRows& train, const DLinearOptions& options)
      : train_(train),
        level_(train.values),
        values_(((train.values - level_.mean) / level_.deviation).to(at::kFloat)),
        options_(options),
        mean_(moving_mean(train.input)) {
    const auto start = at::full({train.input, train.horizon}, 1.0 / static_cast<double>(train.input), at::kFloat);
    for (int i = 0; i < 2; ++i) weights_.emplace_back(start.clone());
    weights_.emplace_back(at::zeros({train.horizon}, at::kFloat));
  }

  /// One linear map of the whole window in the units of the data, as the two maps of its parts come to.
  LinearForecast forecast() const {
    const auto wide = [](const at::Tensor& t) { return t.to(at::kDouble); };
    const auto mean = wide(mean_), rest = at::eye(train_.input, at::kDouble) - mean;
    const auto weight = mean.mm(wide(weights_[0].value())) + rest.mm(wide(weights_[1].value()));
    const auto bias = wide(weights_[2].value()) * level_.deviation + (1 - weight.sum(0)) * level_.mean;
    return {.norm = LinearNorm::kNone, .penalty = 0, .weight = at::cat({weight, bias.unsqueeze(0)}, 0)};
  }

  void train_epoch(int64_t epoch) {
    constexpr int64_t kBatch = 32;
    std::vector<int64_t> order(static_cast<size_t>(train_.windows()));
    std::iota(order.begin(), order.end(), 0);
    auto stream = Draw{.seed = options_.seed, .epoch = epoch}.stream(0);
    for (size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[static_cast<size_t>(stream.integer(0, static_cast<int64_t>(i) - 1))]);
    }
    const double lr = epoch < 2 ? options_.lr : options_.lr * std::pow(0.5, static_cast<double>(epoch - 1));
    const auto windows = values_.unfold(0, train_.input + train_.horizon, 1);
    const int64_t steps = std::min(std::max<int64_t>(std::ssize(order) / kBatch, 1), options_.most_steps);
    for (int64_t step = 0; step < steps; ++step) {
      const int64_t first = step * kBatch, count = std::min(kBatch, std::ssize(order) - first);
      const auto chosen =
          at::tensor(at::IntArrayRef(order).slice(static_cast<size_t>(first), static_cast<size_t>(count)));
      train_step(windows.index_select(0, chosen).flatten(0, 1), lr);
    }
  }

 private:
  /// Forecasts are x * (mean * trend + (1 - mean) * rest): one product with all windows forward and one backward, and
  /// what the moving mean does to the weights is small beside them.
  void train_step(const at::Tensor& piece, double lr) {
    const auto x = piece.narrow(1, 0, train_.input);
    const auto& trend = weights_[0].value();
    const auto& rest = weights_[1].value();
    const auto forecast = x.mm(rest + mean_.mm(trend - rest)) + weights_[2].value();
    const auto error = forecast - piece.narrow(1, train_.input, train_.horizon);
    const auto slope = error * (2.0 / static_cast<double>(error.numel()));
    const auto whole = x.t().mm(slope), of_trend = mean_.t().mm(whole);
    weights_[0].step(of_trend, lr);
    weights_[1].step(whole - of_trend, lr);
    weights_[2].step(slope.sum(0), lr);
  }

  ForecastRows train_;
  Level level_;
  at::Tensor values_;  ///< float32, over their level
  DLinearOptions options_;
  at::Tensor mean_;
  std::vector<Adam> weights_;  ///< of the trend, of the rest [L, H], and the bias [H]
};

}  // namespace

double ForecastErrors::mse(int64_t rows) const { return squared.narrow(0, 0, rows).mean().item<double>(); }
double ForecastErrors::mae(int64_t rows) const { return absolute.narrow(0, 0, rows).mean().item<double>(); }

ForecastErrors repeat_errors(const ForecastRows& rows) { return periodic_errors(rows, 1); }

ForecastErrors periodic_errors(const ForecastRows& rows, int64_t period) {
  UNIREPLK_CHECK(period >= 1 && period <= rows.input, "a period of {} in windows of {} rows", period, rows.input);
  const auto place = at::arange(rows.horizon, at::kLong).remainder(period) + (rows.input - period);
  return errors_of(rows, [&](const at::Tensor& window) { return window.index_select(1, place); });
}

std::string_view to_text(LinearNorm norm) {
  constexpr std::string_view kTexts[] = {"none", "last", "mean", "mean_std"};
  return kTexts[static_cast<size_t>(norm)];
}

ForecastErrors LinearForecast::errors(const ForecastRows& rows) const {
  return errors_of(rows, [&](const at::Tensor& window) {
    const auto scale = measure(window, norm);
    const auto forecast = with_ones(normalised(window, scale)).mm(weight);
    const auto scaled = scale.scale.defined() ? forecast * scale.scale : forecast;
    return scale.offset.defined() ? scaled + scale.offset : scaled;
  });
}

std::vector<LinearForecast> fit_ridge(const ForecastRows& train, LinearNorm norm,
                                      const std::vector<double>& penalties) {
  const at::NoGradGuard no_graph;
  const int64_t width = train.input + 1;
  auto square = at::zeros({width, width}, at::kDouble), product = at::zeros({width, train.horizon}, at::kDouble);
  for_each_piece(train, [&](const at::Tensor& piece) {
    const auto window = piece.narrow(1, 0, train.input);
    const auto scale = measure(window, norm);
    const auto x = with_ones(normalised(window, scale));
    square.addmm_(x.t(), x);
    product.addmm_(x.t(), normalised(piece.narrow(1, train.input, train.horizon), scale));
  });
  std::vector<LinearForecast> fits;
  for (const double penalty : penalties) {
    auto ridge = at::full({width}, penalty * static_cast<double>(train.windows() * train.values.size(1)), at::kDouble);
    ridge[width - 1] = 0;
    const auto root = at::linalg_cholesky(square + ridge.diag());
    fits.push_back({.norm = norm, .penalty = penalty, .weight = at::cholesky_solve(product, root)});
  }
  return fits;
}

LinearForecast choose_ridge(const ForecastRows& train, const ForecastRows& validation) {
  LinearForecast best;
  double least = std::numeric_limits<double>::infinity();
  for (const auto norm : {LinearNorm::kLast, LinearNorm::kMean, LinearNorm::kMeanStd}) {
    for (auto& fit : fit_ridge(train, norm, {0.0001, 0.001, 0.01})) {
      const double error = fit.errors(validation).mse(validation.horizon);
      if (error < least) std::tie(least, best) = std::tuple(error, std::move(fit));
    }
  }
  return best;
}

LinearForecast fit_dlinear(const ForecastRows& train, const ForecastRows& validation, const DLinearOptions& options) {
  constexpr int64_t kPatience = 3;
  const at::NoGradGuard no_graph;
  DLinear network(train, options);
  LinearForecast best = network.forecast();
  double least = std::numeric_limits<double>::infinity();
  int64_t since_best = 0;
  for (int64_t epoch = 0; epoch < options.epochs && since_best < kPatience; ++epoch, ++since_best) {
    network.train_epoch(epoch);
    auto forecast = network.forecast();
    const double error = forecast.errors(validation).mse(validation.horizon);
    if (error < least) std::tie(least, best, since_best) = std::tuple(error, std::move(forecast), int64_t{-1});
  }
  return best;
}

}  // namespace unireplk::analysis
