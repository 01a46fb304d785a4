#include "unireplk/nn/layers.h"

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/ops/batch_moments.h"
#include "unireplk/ops/channel_bias.h"
#include "unireplk/ops/channel_layer_norm.h"
#include "unireplk/ops/depthwise_conv2d.h"
#include "unireplk/ops/linear.h"
#include "unireplk/ops/shared_batch_norm.h"
#include "unireplk/ops/squeeze_excite.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::nn {
namespace {

constexpr double kLayerNormEps = 1e-6;

template <class Layer>
void assign_weight_and_bias(Layer& layer, const at::Tensor& weight, const at::Tensor& bias) {
  const at::NoGradGuard no_graph;
  layer.weight.copy_(weight);
  if (!layer.bias.defined()) {
    layer.bias = layer.register_parameter("bias", at::empty({weight.size(0)}, layer.weight.options()));
  }
  layer.bias.copy_(bias);
}

/// The middle of a kernel: taps further from it than the map is wide meet nothing but padding, and cost as much as
/// others.
at::Tensor useful_taps(const at::Tensor& weight, int64_t dimension, int64_t side, int64_t dilation) {
  const int64_t reach = weight.size(dimension) / 2;
  const int64_t useful_reach = std::min(reach, std::max<int64_t>(side - 1, 0) / dilation);
  if (useful_reach == reach) return weight;
  return weight.narrow(dimension, reach - useful_reach, 2 * useful_reach + 1);
}

/// cuDNN's kernels for tensor cores take channels by eights; those for an image's three compute without.
constexpr int64_t kChannelsOfTensorCores = 8;

bool wants_more_channels(const at::Tensor& x) {
  const auto dtype = autocast_type(x);
  return x.is_cuda() && (dtype == at::kBFloat16 || dtype == at::kHalf) && x.size(1) < kChannelsOfTensorCores;
}

/// A map or a kernel with channels of zeros behind its own.
at::Tensor with_channels(const at::Tensor& tensor) {
  return at::constant_pad_nd(tensor, {0, 0, 0, 0, 0, kChannelsOfTensorCores - tensor.size(1)});
}

}  // namespace

Conv2dImpl::Conv2dImpl(const Conv2dOptions& o) : options(o) {
  UNIREPLK_CHECK(o.kernel_size % 2 == 1, "Conv2d: expected an odd kernel, got {}", o.kernel_size);
  weight = register_parameter(
      "weight", at::empty({o.out_channels, o.in_channels / o.groups, o.kernel_size, o.kernel_size}, o.tensor));
  if (o.bias) bias = register_parameter("bias", at::zeros({o.out_channels}, o.tensor));
}

at::Tensor Conv2dImpl::forward(const at::Tensor& x) {
  const bool may_pack = options.groups == 1 && !is_training() && !at::GradMode::is_enabled() && x.numel() > 0;
  if (!may_pack) return apply(x, weight, bias);
  std::vector<at::Tensor> sources{weight};
  if (bias.defined()) sources.push_back(bias);
  const auto packed = packed_.get(
      sources, [&] { return ops::PackedConv2d(weight, bias, options.stride, options.dilation, x.sizes()); });
  return packed.serves(x) ? packed.apply(x) : apply(x, weight, bias);
}

void Conv2dImpl::train(bool on) {
  Module::train(on);
  packed_.clear();
}

at::Tensor Conv2dImpl::apply(const at::Tensor& x, const at::Tensor& other_weight, const at::Tensor& other_bias) const {
  const bool is_depthwise = options.groups == x.size(1) && other_weight.size(0) == x.size(1) && options.stride == 1;
  if (is_depthwise && ops::has_depthwise_kernel(x, other_weight, options.dilation)) {
    return ops::depthwise_conv2d(x, other_weight, other_bias, options.dilation);
  }
  const auto weight_rows = useful_taps(other_weight, 2, x.size(2), options.dilation);
  const auto useful = useful_taps(weight_rows, 3, x.size(3), options.dilation);
  const auto padding = [&](int64_t dimension) { return options.dilation * (useful.size(dimension) - 1) / 2; };
  const bool adds_bias = ops::leaves_out_bias(x, other_bias), pads = options.groups == 1 && wants_more_channels(x);
  const auto map = pads ? with_channels(x.to(autocast_type(x))).contiguous(at::MemoryFormat::ChannelsLast) : x;
  auto y = at::conv2d(map, pads ? with_channels(useful) : useful, adds_bias ? at::Tensor() : other_bias,
                      {options.stride, options.stride}, {padding(2), padding(3)}, {options.dilation, options.dilation},
                      options.groups);
  y = y.contiguous(at::MemoryFormat::ChannelsLast);  // float64 convolutions of ATen lose the layout; others keep it
  return adds_bias ? ops::add_channel_bias(y, other_bias) : y;
}

void Conv2dImpl::assign(const at::Tensor& new_weight, const at::Tensor& new_bias) {
  assign_weight_and_bias(*this, new_weight, new_bias);
}

Conv2dOptions depthwise(int64_t channels, int64_t kernel_size, int64_t dilation, bool bias, at::TensorOptions tensor) {
  return {.in_channels = channels,
          .out_channels = channels,
          .kernel_size = kernel_size,
          .dilation = dilation,
          .groups = channels,
          .bias = bias,
          .tensor = tensor};
}

LinearImpl::LinearImpl(int64_t in_features, int64_t out_features, bool with_bias, at::TensorOptions tensor) {
  weight = register_parameter("weight", at::empty({out_features, in_features}, tensor));
  if (with_bias) bias = register_parameter("bias", at::zeros({out_features}, tensor));
}

at::Tensor LinearImpl::forward(const at::Tensor& x) { return ops::linear(x, weight, bias); }

void LinearImpl::assign(const at::Tensor& new_weight, const at::Tensor& new_bias) {
  assign_weight_and_bias(*this, new_weight, new_bias);
}

ChannelNormImpl::ChannelNormImpl(int64_t channels, at::TensorOptions tensor) {
  weight = register_parameter("weight", at::ones({channels}, tensor));
  bias = register_parameter("bias", at::zeros({channels}, tensor));
}

at::Tensor ChannelNormImpl::forward(const at::Tensor& x) {
  if (x.dim() == 4) return ops::channel_layer_norm(x, weight, bias, kLayerNormEps);
  return at::layer_norm(x, weight.sizes(), weight, bias, kLayerNormEps);
}

at::Tensor ChannelNormImpl::forward_with_gelu(const at::Tensor& x) {
  return ops::channel_layer_norm(x, weight, bias, kLayerNormEps, /*then_gelu=*/true);
}

BatchNormImpl::BatchNormImpl(int64_t channels, at::TensorOptions tensor) {
  weight = register_parameter("weight", at::ones({channels}, tensor));
  bias = register_parameter("bias", at::zeros({channels}, tensor));
  running_mean = register_buffer("running_mean", at::zeros({channels}, tensor));
  running_var = register_buffer("running_var", at::ones({channels}, tensor));
  num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, tensor.dtype(at::kLong)));
}

at::Tensor BatchNormImpl::forward(const at::Tensor& x, const Pass& pass) {
  if (!is_training()) {
    return at::batch_norm(x, weight, bias, running_mean, running_var, false, kMomentum, kEps, /*cudnn=*/true);
  }
  if (collective) {
    return ops::shared_batch_norm(x, tensors(), kEps, kMomentum, pass.update_statistics, collective);
  }
  if (x.numel() > 0) ops::check_has_variance(static_cast<double>(x.numel() / x.size(1)));
  if (!pass.update_statistics) {
    return at::batch_norm(x, weight, bias, {}, {}, true, kMomentum, kEps, /*cudnn=*/true);
  }
  num_batches_tracked.add_(1);
  return at::batch_norm(x, weight, bias, running_mean, running_var, true, kMomentum, kEps, /*cudnn=*/true);
}

GrnImpl::GrnImpl(int64_t channels, bool with_beta, at::TensorOptions tensor) {
  gamma = register_parameter("gamma", at::zeros({1, 1, 1, channels}, tensor));
  if (with_beta) beta = register_parameter("beta", at::zeros({1, 1, 1, channels}, tensor));
}

void GrnImpl::drop_beta() {
  if (!beta.defined()) return;
  parameters_.erase("beta");
  beta.reset();
}

SqueezeExciteImpl::SqueezeExciteImpl(int64_t channels, at::TensorOptions tensor) {
  const int64_t inner = channels / 4;
  down =
      register_module("down", Conv2d(Conv2dOptions{.in_channels = channels, .out_channels = inner, .tensor = tensor}));
  up = register_module("up", Conv2d(Conv2dOptions{.in_channels = inner, .out_channels = channels, .tensor = tensor}));
}

at::Tensor SqueezeExciteImpl::forward(const at::Tensor& x) {
  // 1 x 1 convolutions of a 1 x 1 map are matrix products.
  const auto linear = [](const Conv2d& conv) { return ops::LinearTensors{conv->weight.flatten(1), conv->bias}; };
  return ops::squeeze_excite(x, linear(down), linear(up));
}

}  // namespace unireplk::nn
