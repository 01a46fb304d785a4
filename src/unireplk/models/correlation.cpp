#include "unireplk/models/correlation.h"

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "unireplk/nn/dropout.h"

namespace unireplk::models {
namespace {

constexpr int64_t kMovingMean = 25;

/// Zero rows at the end, or fewer, along dimension 1 of [B, S, heads, d].
at::Tensor fit_rows(const at::Tensor& x, int64_t rows) {
  if (x.size(1) >= rows) return x.narrow(1, 0, rows);
  return at::constant_pad_nd(x, {0, 0, 0, 0, 0, rows - x.size(1)});
}

/// Unsqueeze at the end until `shift` has the dimensions of x.
at::Tensor as_wide(at::Tensor shift, int64_t dimensions) {
  while (shift.dim() < dimensions) shift = shift.unsqueeze(-1);
  return shift;
}

}  // namespace

Decomposition decompose(const at::Tensor& x) {
  const auto padded = at::replication_pad1d(x.transpose(1, 2), {kMovingMean / 2, kMovingMean / 2});
  const auto trend = at::avg_pool1d(padded, kMovingMean, /*stride=*/1).transpose(1, 2);
  return {.rest = x - trend, .trend = trend};
}

at::Tensor circular_correlation(const at::Tensor& q, const at::Tensor& k) {
  return at::fft_irfft(at::fft_rfft(q) * at::fft_rfft(k).conj(), q.size(-1));
}

at::Tensor roll_last(const at::Tensor& x, const at::Tensor& shift) {
  const int64_t length = x.size(-1);
  const auto index = (at::arange(length, shift.options()) - as_wide(shift, x.dim())).remainder(length);
  return x.gather(-1, index.expand_as(x));
}

ProjectionsImpl::ProjectionsImpl(const CorrelationOptions& options, at::TensorOptions tensor) : heads_(options.heads) {
  const auto linear = [&](const char* name) {
    return register_module(name, nn::Linear(options.width, options.width, true, tensor));
  };
  query = linear("query");
  key = linear("key");
  value = linear("value");
  out = linear("out");
}

at::Tensor ProjectionsImpl::split(nn::Linear& layer, const at::Tensor& x, int64_t rows) const {
  return fit_rows(layer->forward(x).unflatten(-1, {heads_, -1}), rows).permute({0, 2, 3, 1});
}

at::Tensor AutoCorrelationImpl::forward(const at::Tensor& x, const at::Tensor& memory) {
  const int64_t rows = x.size(1);
  const auto q = split(query, x, rows), k = split(key, memory, rows), v = split(value, memory, rows);
  const auto corr = circular_correlation(q, k).mean(2);  // [B, heads, R]
  const auto delays = static_cast<int64_t>(std::log(static_cast<double>(rows)));
  const auto [strength, delay] = at::topk(corr, delays, -1);
  const auto share = strength.softmax(-1);
  at::Tensor mixed = at::zeros_like(v);
  for (int64_t i = 0; i < delays; ++i) {
    mixed = mixed + roll_last(v, -delay.select(-1, i)) * as_wide(share.select(-1, i), v.dim());
  }
  return out->forward(mixed.permute({0, 3, 1, 2}).flatten(2));
}

CausalConvImpl::CausalConvImpl(int64_t channels, at::TensorOptions tensor) {
  weight_g = register_parameter("weight_g", at::empty({channels, 1, 1}, tensor));
  weight_v = register_parameter("weight_v", at::empty({channels, channels, 3}, tensor));
  bias = register_parameter("bias", at::zeros({channels}, tensor));
}

at::Tensor CausalConvImpl::forward(const at::Tensor& x) {
  const auto length = weight_v.flatten(1).norm(2, 1).view({-1, 1, 1});
  return at::conv1d(at::constant_pad_nd(x, {2, 0}), weight_g * weight_v / length, bias);
}

CausalBlockImpl::CausalBlockImpl(int64_t channels, double dropout, at::TensorOptions tensor) : dropout_(dropout) {
  conv1 = register_module("conv1", CausalConv(channels, tensor));
  conv2 = register_module("conv2", CausalConv(channels, tensor));
}

at::Tensor CausalBlockImpl::forward(const at::Tensor& x, const DrawFrom& generator) {
  auto y = nn::dropout(conv1->forward(x).relu(), dropout_, generator);
  y = nn::dropout(conv2->forward(y).relu(), dropout_, generator);
  return (y + x).relu();
}

CrossCorrelationImpl::CrossCorrelationImpl(const CorrelationOptions& options, at::TensorOptions tensor)
    : ProjectionsImpl(options, tensor) {
  const int64_t channels = options.width / options.heads * options.rows;
  causal = register_module("causal", CausalBlock(channels, options.causal_dropout, tensor));
}

at::Tensor CrossCorrelationImpl::forward(const at::Tensor& x, const at::Tensor& memory, int64_t nodes,
                                         const DrawFrom& generator) {
  const int64_t rows = x.size(1);
  const auto grouped = [&](nn::Linear& layer, const at::Tensor& from) {
    return split(layer, from, rows).unflatten(0, {-1, nodes}).transpose(1, 2);  // [groups, heads, N, d, R]
  };
  const auto q = grouped(query, x), k = grouped(key, memory), v = grouped(value, memory);
  const auto corr = circular_correlation(q.mean(2, /*keepdim=*/true), k).mean(3);  // [groups, heads, N, R]
  const auto [strength, delay] = corr.max(-1);
  const auto aligned = roll_last(v, delay) * as_wide(strength.sigmoid(), v.dim());
  const auto order = (rows - delay).argsort(/*stable=*/true, 2, /*descending=*/false);
  const auto index = as_wide(order, v.dim()).expand_as(aligned);
  const auto ordered = aligned.gather(2, index);
  const auto mixed = causal->forward(ordered.flatten(0, 1).flatten(2).transpose(1, 2), generator)
                         .transpose(1, 2)
                         .reshape(ordered.sizes());
  const auto restored = at::zeros_like(mixed).scatter(2, index, mixed);
  return out->forward(roll_last(restored, -delay).permute({0, 2, 4, 1, 3}).flatten(3).flatten(0, 1));
}

MultiCorrelationImpl::MultiCorrelationImpl(const CorrelationOptions& options, at::TensorOptions tensor)
    : tree_(options.tree), dropout_(options.dropout) {
  autocorrelation = register_module("auto", AutoCorrelation(options, tensor));
  cross = register_module("cross", CrossCorrelation(options, tensor));
}

at::Tensor MultiCorrelationImpl::forward(const at::Tensor& x, const at::Tensor& memory, const DrawFrom& generator) {
  const auto leaf = nn::dropout(autocorrelation->forward(x, memory), dropout_, generator);
  int64_t members = std::accumulate(tree_.begin(), tree_.end(), int64_t{1}, std::multiplies<>());
  std::vector<at::Tensor> levels;
  for (const int64_t nodes : tree_) {
    members /= nodes;  // leaves below a node of this level
    const auto mean = [&](const at::Tensor& t) { return t.unflatten(0, {-1, members}).mean(1); };
    levels.push_back(cross->forward(mean(x), mean(memory), nodes, generator).repeat_interleave(members, 0));
  }
  return nn::dropout(leaf, dropout_, generator) + nn::dropout(at::stack(levels).mean(0), dropout_, generator);
}

CorrelationDecoderImpl::CorrelationDecoderImpl(const CorrelationOptions& options, at::TensorOptions tensor)
    : dropout_(options.dropout) {
  self_corr = register_module("self_corr", MultiCorrelation(options, tensor));
  cross_corr = register_module("cross_corr", MultiCorrelation(options, tensor));
  fc1 = register_module("fc1", nn::Linear(options.width, options.hidden, false, tensor));
  fc2 = register_module("fc2", nn::Linear(options.hidden, options.width, false, tensor));
  trend = register_module("trend", nn::CircularConv1d(options.width, options.out, tensor));
}

std::pair<at::Tensor, at::Tensor> CorrelationDecoderImpl::forward(const at::Tensor& x, const at::Tensor& memory,
                                                                  const DrawFrom& generator) {
  const auto first = decompose(x + self_corr->forward(x, x, generator));
  const auto second = decompose(first.rest + cross_corr->forward(first.rest, memory, generator));
  const auto inner = nn::dropout(at::gelu(fc1->forward(second.rest)), dropout_, generator);
  const auto third = decompose(second.rest + nn::dropout(fc2->forward(inner), dropout_, generator));
  return {third.rest, trend->forward(first.trend + second.trend + third.trend)};
}

}  // namespace unireplk::models
