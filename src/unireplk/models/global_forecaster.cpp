#include "unireplk/models/global_forecaster.h"

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/models/forecaster_options.h"
#include "unireplk/nn/dropout.h"
#include "unireplk/nn/init.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::models {
namespace {

constexpr double kDecoderNormEps = 1e-5;
constexpr int64_t kCoordinates = 3;  // of a station

/// As PyTorch draws linear layers and convolutions: uniform within 1 / sqrt(fan-in).
void draw_uniform(const at::Tensor& tensor, int64_t fan_in, at::Generator& generator) {
  if (!tensor.defined()) return;
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  tensor.uniform_(-bound, bound, generator);
}

void draw_like_pytorch(torch::nn::Module& module, at::Generator& generator) {
  if (auto* linear = module.as<nn::Linear>()) {
    draw_uniform(linear->weight, linear->weight.size(1), generator);
    draw_uniform(linear->bias, linear->weight.size(1), generator);
  } else if (auto* circular = module.as<nn::CircularConv1d>()) {
    draw_uniform(circular->weight, circular->weight.size(1) * circular->weight.size(2), generator);
  } else if (auto* causal = module.as<CausalConv>()) {
    const int64_t fan_in = causal->weight_v.size(1) * causal->weight_v.size(2);
    draw_uniform(causal->weight_v, fan_in, generator);
    draw_uniform(causal->bias, fan_in, generator);
    causal->weight_g.copy_(causal->weight_v.flatten(1).norm(2, 1).view({-1, 1, 1}));
  }
}

void check_tree(const GlobalForecasterOptions& o) {
  require(!o.tree.empty() && o.tree.size() <= 8, "tree", format("expected 1 to 8 levels, got {}", o.tree.size()));
  int64_t together = 1;
  for (const int64_t nodes : o.tree) {
    require(nodes >= 1 && nodes <= 1 << 16, "tree", format("expected levels of 1 to 65536 nodes, got {}", nodes));
    together *= nodes;
    require(together <= o.channels, "tree",
            format("expected at most as many nodes as the {} stations, got {} or more", o.channels, together));
  }
  require(o.channels % o.nodes() == 0, "tree",
          format("expected a tree whose nodes share the {} stations evenly, got {} nodes", o.channels, o.nodes()));
}

/// Numbers of the last map.
int64_t map_values(const GlobalForecasterOptions& o) {
  return o.backbone.dims.back() * last_map_size(o.map_height()) * last_map_size(o.map_width());
}

void check_tokens(const GlobalForecasterOptions& o) {
  const int64_t features = o.backbone.dims.back();
  const int64_t values = o.memory == EncoderMemory::kPooled ? features : map_values(o);
  if (o.token_order == TokenOrder::kSpatial) {
    require(features == o.width, "token_order",
            format("expected width = {}, the channels of the last map, got {}", features, o.width),
            "Write reinterpret, or change width or the backbone.");
  }
  require(values % o.width == 0, "width",
          format("expected a divisor of the {} numbers that the encoder puts out, got {}", values, o.width));
}

}  // namespace

int64_t GlobalForecasterOptions::nodes() const {
  return std::accumulate(tree.begin(), tree.end(), int64_t{1}, std::multiplies<>());
}

GlobalForecasterOptions resolved(GlobalForecasterOptions o) {
  require_counts({{"channels", o.channels},
                  {"input", o.length},
                  {"horizon", o.horizon},
                  {"marks", o.marks},
                  {"width", o.width},
                  {"heads", o.heads},
                  {"hidden", o.hidden},
                  {"rows", o.rows}});
  check_tree(o);
  require(o.width % o.rows == 0, "width", format("expected a multiple of rows = {}, got {}", o.rows, o.width));
  require(o.width % o.heads == 0, "width", format("expected a multiple of heads = {}, got {}", o.heads, o.width));
  require(o.label >= 0 && o.label <= o.length, "label", format("expected 0 to {}, got {}", o.length, o.label));
  require(o.map_height() <= kMostNumbers, "rows",
          format("expected maps of at most {} rows, got {}", kMostNumbers, o.map_height()));
  const int64_t causal = o.width / o.heads * (o.label + o.horizon);
  require(causal <= 1 << 16, "heads", format("expected at most 65536 numbers a node and head, got {}", causal));
  require(o.label + o.horizon >= 3, "horizon", "expected at least 3 rows with the label, to correlate over time");
  require_rate("dropout", o.dropout);
  require_rate("causal_dropout", o.causal_dropout);
  o.backbone = resolved_trunk(std::move(o.backbone));
  check_tokens(o);
  return o;
}

StationEmbeddingImpl::StationEmbeddingImpl(const GlobalForecasterOptions& o, at::TensorOptions tensor) {
  value = register_module("value", nn::CircularConv1d(o.group(), o.width, tensor));
  time = register_module("time", nn::Linear(o.marks, o.width, false, tensor));
  place = register_module("place", nn::Linear(kCoordinates * o.group(), o.width, true, tensor));
}

at::Tensor StationEmbeddingImpl::forward(const at::Tensor& x, const at::Tensor& marks, const at::Tensor& places) {
  const auto of_rows = time->forward(marks).unsqueeze(1) + place->forward(places).unsqueeze(1);  // [B, n, L, width]
  return value->forward(x) + of_rows.reshape({x.size(0), x.size(1), -1});
}

GlobalForecasterImpl::GlobalForecasterImpl(const GlobalForecasterOptions& options, at::TensorOptions tensor)
    : options_(resolved(options)) {
  const int64_t group = options_.group();
  weight = register_parameter("weight", at::ones({group}, tensor));
  bias = register_parameter("bias", at::zeros({group}, tensor));
  places = register_buffer("places", at::zeros({options_.nodes(), kCoordinates * group}, tensor));
  enc_embedding = register_module("enc_embedding", StationEmbedding(options_, tensor));
  dec_embedding = register_module("dec_embedding", StationEmbedding(options_, tensor));
  backbone = register_module("encoder", UniRepLKNet(options_.backbone, tensor));
  const CorrelationOptions correlation{.width = options_.width,
                                       .heads = options_.heads,
                                       .rows = options_.label + options_.horizon,
                                       .hidden = options_.hidden,
                                       .out = group,
                                       .tree = options_.tree,
                                       .dropout = options_.dropout,
                                       .causal_dropout = options_.causal_dropout};
  decoder = register_module("decoder", CorrelationDecoder(correlation, tensor));
  norm = register_module("norm", nn::ChannelNorm(options_.width, tensor));
  head = register_module("head", nn::Linear(options_.width, group, true, tensor));
}

void GlobalForecasterImpl::set_places(const at::Tensor& of_stations) {
  UNIREPLK_CHECK(of_stations.dim() == 2 && of_stations.size(0) == options_.channels && of_stations.size(1) == 3,
                 "GlobalForecaster: expected places [{}, 3], got {}", options_.channels, ops::shape_text(of_stations));
  const auto wide = of_stations.to(at::kDouble);
  const auto scaled = (wide - wide.mean(0)) / wide.std(0, /*unbiased=*/false);
  places.copy_(scaled.reshape(places.sizes()));
}

/// [B, L, n * g] to [B * n, L, g].
at::Tensor GlobalForecasterImpl::to_nodes(const at::Tensor& x) const {
  return x.unflatten(2, {options_.nodes(), options_.group()}).transpose(1, 2).flatten(0, 1);
}

/// [B * n, H, g] to [B, H, n * g].
at::Tensor GlobalForecasterImpl::to_channels(const at::Tensor& x, int64_t windows) const {
  return x.unflatten(0, {windows, options_.nodes()}).transpose(1, 2).flatten(2);
}

at::Tensor GlobalForecasterImpl::tokens(const at::Tensor& map) const {
  auto values = options_.memory == EncoderMemory::kPooled ? map.mean({2, 3}, /*keepdim=*/true) : map;
  if (options_.memory == EncoderMemory::kZero) values = values * 0;
  if (options_.token_order == TokenOrder::kSpatial) return values.flatten(2).transpose(1, 2);
  return values.contiguous().reshape({map.size(0), -1, options_.width});
}

GlobalForecasterImpl::Normalised GlobalForecasterImpl::normalised(const at::Tensor& window) const {
  check_window("GlobalForecaster", window, options_.length, options_.channels);
  const auto factor = weight.repeat({options_.nodes()}), offset = bias.repeat({options_.nodes()});
  const auto mean = window.mean(1, true).detach();
  const auto deviation = (window.var(at::IntArrayRef{1}, false, true) + kVarianceEps).sqrt();
  return {.x = (window - mean) / deviation * factor + offset,
          .mean = mean,
          .deviation = deviation,
          .factor = factor,
          .offset = offset};
}

at::Tensor GlobalForecasterImpl::embedded(StationEmbedding& embedding, const at::Tensor& rows,
                                          const at::Tensor& calendar,
                                          const std::optional<at::Generator>& generator) const {
  return nn::dropout(embedding->forward(to_nodes(rows), calendar, places), options_.dropout, generator);
}

/// \param x  [B, L, n * g], normalised. \return [B * n, 1, H, W]
at::Tensor GlobalForecasterImpl::encoder_map(const at::Tensor& x, const at::Tensor& marks,
                                             const std::optional<at::Generator>& generator) {
  const auto rows = embedded(enc_embedding, x, marks, generator);
  return rows.reshape({rows.size(0), 1, options_.map_height(), options_.map_width()});
}

at::Tensor GlobalForecasterImpl::map_of(const ForecastInput& input, const std::optional<at::Generator>& generator) {
  return encoder_map(normalised(input.window).x, input.marks.narrow(1, 0, options_.length), generator);
}

at::Tensor GlobalForecasterImpl::forecast(const ForecastInput& input, const RunBackbone& run,
                                          const std::optional<at::Generator>& generator) {
  const auto marks = input.marks.narrow(1, 0, options_.length);
  const auto ahead = input.marks.narrow(1, options_.length - options_.label, options_.label + options_.horizon);
  return forecast(input.window, marks, ahead, run, generator);
}

at::Tensor GlobalForecasterImpl::forecast(const at::Tensor& window, const at::Tensor& marks, const at::Tensor& ahead,
                                          const RunBackbone& run, const std::optional<at::Generator>& generator) {
  const int64_t windows = window.size(0), label = options_.label, horizon = options_.horizon;
  const auto [x, mean, deviation, factor, offset] = normalised(window);

  const auto last = [&](const at::Tensor& rows) { return rows.narrow(1, options_.length - label, label); };
  const auto parts = decompose(x);
  const auto level = x.mean(1, true).expand({-1, horizon, -1});
  const auto trend = at::cat({last(parts.trend), level}, 1);
  const auto seasonal = at::constant_pad_nd(last(parts.rest), {0, 0, 0, horizon});

  const auto map = encoder_map(x, marks, generator);
  const auto seen = embedded(dec_embedding, seasonal, ahead, generator);
  const auto [rows, increment] = decoder->forward(seen, tokens(run(map)), generator);
  const auto y = at::layer_norm(rows, {options_.width}, norm->weight, norm->bias, kDecoderNormEps);
  const auto out = head->forward(y - y.mean(1, true)) + to_nodes(trend) + increment;
  const auto forecast = to_channels(out.narrow(1, label, horizon), windows);
  return (forecast - offset) / (factor + kFactorEps) * deviation + mean;
}

void GlobalForecasterImpl::initialise(at::Generator generator) {
  const at::NoGradGuard no_graph;
  nn::initialise(*this, generator);
  weight.fill_(1);
  bias.zero_();
  for (auto* part : {&*enc_embedding, &*dec_embedding}) {
    for (const auto& module : part->modules()) draw_like_pytorch(*module, generator);
    initialise_value(part->value->weight, generator);
  }
  for (const auto& module : decoder->modules()) draw_like_pytorch(*module, generator);
  draw_like_pytorch(*head, generator);
}

}  // namespace unireplk::models
