#include "unireplk/models/series_forecaster.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/models/forecaster_options.h"
#include "unireplk/nn/dropout.h"
#include "unireplk/nn/init.h"

namespace unireplk::models {
namespace {

constexpr double kNodeStd = 0.02;

}  // namespace

SeriesForecasterOptions resolved(SeriesForecasterOptions o) {
  require_counts({{"channels", o.channels},
                  {"input", o.length},
                  {"horizon", o.horizon},
                  {"marks", o.marks},
                  {"group", o.group},
                  {"width", o.width},
                  {"rows", o.rows}});
  require(o.map_height() <= kMostNumbers, "rows",
          format("expected maps of at most {} rows, got {}", kMostNumbers, o.map_height()));
  require(o.horizon * o.group <= kMostNumbers, "group",
          format("expected at most {} numbers of a forecast from one map, got {}", kMostNumbers, o.horizon * o.group));
  require(o.width % o.rows == 0, "width", format("expected a multiple of rows = {}, got {}", o.rows, o.width),
          "Every row of a window becomes `rows` rows of the map.");
  require(o.group <= o.channels, "group",
          format("expected at most the {} channels of the data, got {}", o.channels, o.group));
  require_rate("dropout", o.dropout);
  require(o.least_std >= 0 && std::isfinite(o.least_std), "least_std", format("expected >= 0, got {}", o.least_std));
  o.backbone = resolved_trunk(std::move(o.backbone));
  return o;
}

WindowNormImpl::WindowNormImpl(const SeriesForecasterOptions& options, at::TensorOptions tensor)
    : kind_(options.window_norm), least_std_(options.least_std) {
  if (!options.affine || kind_ == WindowNormKind::kOff) return;
  weight = register_parameter("weight", at::ones({options.channels}, tensor));
  bias = register_parameter("bias", at::zeros({options.channels}, tensor));
}

WindowNormImpl::Statistics WindowNormImpl::measure(const at::Tensor& window) const {
  const auto x = window.detach();
  if (kind_ == WindowNormKind::kOff) return {};
  if (kind_ == WindowNormKind::kLast) return {.offset = x.narrow(1, x.size(1) - 1, 1), .scale = {}};
  const auto mean = x.mean(1, /*keepdim=*/true);
  if (kind_ == WindowNormKind::kMean) return {.offset = mean, .scale = {}};
  const auto deviation = (x.var(at::IntArrayRef{1}, /*unbiased=*/false, /*keepdim=*/true) + kVarianceEps).sqrt();
  return {.offset = mean, .scale = deviation.clamp_min(least_std_)};
}

at::Tensor WindowNormImpl::forward(const at::Tensor& window, const Statistics& statistics) {
  auto x = statistics.offset.defined() ? window - statistics.offset : window;
  if (statistics.scale.defined()) x = x / statistics.scale;
  return weight.defined() ? x * weight + bias : x;
}

at::Tensor WindowNormImpl::inverse(const at::Tensor& forecast, const Statistics& statistics) {
  auto y = weight.defined() ? (forecast - bias) / (weight + kFactorEps) : forecast;
  if (statistics.scale.defined()) y = y * statistics.scale;
  return statistics.offset.defined() ? y + statistics.offset : y;
}

SeriesEmbeddingImpl::SeriesEmbeddingImpl(const SeriesForecasterOptions& options, at::TensorOptions tensor)
    : node(std::make_shared<torch::nn::Module>()) {
  value = register_module("value", nn::CircularConv1d(options.group, options.width, tensor));
  time = register_module("time", nn::Linear(options.marks, options.width, false, tensor));
  node_weight = node->register_parameter("weight", at::empty({options.nodes(), options.width}, tensor));
  register_module("node", node);
}

at::Tensor SeriesEmbeddingImpl::forward(const at::Tensor& x, const at::Tensor& marks) {
  const int64_t windows = marks.size(0), nodes = node_weight.size(0);
  const auto of_rows = time->forward(marks).unsqueeze(1) + node_weight.unsqueeze(1);  // [B, n, L, width]
  return value->forward(x) + of_rows.reshape({windows * nodes, x.size(1), -1});
}

SeriesForecasterImpl::SeriesForecasterImpl(const SeriesForecasterOptions& options, at::TensorOptions tensor)
    : options_(resolved(options)) {
  const bool sees_map = options_.seen == SeenByHead::kMap;
  const int64_t features = sees_map
                               ? options_.features() * last_map_size(options_.map_height(), options_.backbone.stages)
                               : options_.length * options_.group;
  window_norm = register_module("window_norm", WindowNorm(options_, tensor));
  embedding = register_module("embedding", SeriesEmbedding(options_, tensor));
  backbone = register_module("backbone", UniRepLKNet(options_.backbone, tensor));
  if (options_.shuffled) {
    order = register_buffer("order", at::arange(options_.length, tensor.dtype(at::kLong).requires_grad(std::nullopt)));
  }
  if (sees_map) norm = register_module("norm", nn::ChannelNorm(options_.features(), tensor));
  head = register_module("head", nn::Linear(features, options_.horizon * options_.group, true, tensor));
}

/// [B, L, C] to [B * n, L, g]; channels that fill the last group are 0.
at::Tensor SeriesForecasterImpl::to_nodes(const at::Tensor& x) const {
  const int64_t missing = options_.nodes() * options_.group - x.size(2);
  const auto full = missing > 0 ? at::constant_pad_nd(x, {0, missing}) : x;
  return full.unflatten(2, {options_.nodes(), options_.group}).transpose(1, 2).flatten(0, 1);
}

/// [B * n, H * g] to [B, H, C].
at::Tensor SeriesForecasterImpl::to_channels(const at::Tensor& rows, int64_t windows) const {
  const auto steps = rows.view({windows, options_.nodes(), options_.horizon, options_.group}).transpose(1, 2);
  return steps.flatten(2).narrow(2, 0, options_.channels);
}

/// \param x  [B * n, L, g]. \return [B * n, 1, H, W]
at::Tensor SeriesForecasterImpl::map_of_nodes(const at::Tensor& x, const at::Tensor& marks,
                                              const std::optional<at::Generator>& generator) {
  auto rows = embedding->forward(x, marks.narrow(1, 0, options_.length));  // [B * n, L, width]
  if (order.defined()) rows = rows.index_select(1, order);
  return nn::dropout(rows, options_.dropout, generator)
      .reshape({rows.size(0), 1, options_.map_height(), options_.map_width()});
}

at::Tensor SeriesForecasterImpl::map_of(const ForecastInput& input, const std::optional<at::Generator>& generator) {
  check_window("SeriesForecaster", input.window, options_.length, options_.channels);
  const auto x = window_norm->forward(input.window, window_norm->measure(input.window));
  return map_of_nodes(to_nodes(x), input.marks, generator);
}

at::Tensor SeriesForecasterImpl::forecast(const ForecastInput& input, const RunBackbone& run,
                                          const std::optional<at::Generator>& generator) {
  const auto& window = input.window;
  check_window("SeriesForecaster", window, options_.length, options_.channels);
  const auto statistics = window_norm->measure(window);
  const auto x = to_nodes(window_norm->forward(window, statistics));
  const auto seen = options_.seen == SeenByHead::kWindow
                        ? x
                        : norm->forward(run(map_of_nodes(x, input.marks, generator))).mean(3);  // [B * n, D, h]
  const auto out = head->forward(nn::dropout(seen.flatten(1), options_.dropout, generator));
  return window_norm->inverse(to_channels(out, window.size(0)), statistics);
}

void SeriesForecasterImpl::initialise(at::Generator generator) {
  const at::NoGradGuard no_graph;
  nn::initialise(*this, generator);
  initialise_value(embedding->value->weight, generator);
  embedding->node_weight.normal_(0, kNodeStd, generator);
  head->weight.mul_(options_.head_init);
  if (order.defined()) order.copy_(at::randperm(options_.length, generator, at::TensorOptions(at::kLong)));
  if (!window_norm->weight.defined()) return;
  window_norm->weight.fill_(1);
  window_norm->bias.zero_();
}

}  // namespace unireplk::models
