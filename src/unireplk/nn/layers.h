#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <memory>

#include "unireplk/nn/pass.h"
#include "unireplk/nn/weight_cache.h"
#include "unireplk/ops/dilated_reparam.h"
#include "unireplk/ops/packed_conv2d.h"

/// The layers a network is made of. They allocate their weights and leave them unset (`initialise` or a state
/// dict fills them), so that building draws no random numbers and touches no memory; constants (norms,
/// biases) are set.
namespace unireplk::nn {

struct Conv2dOptions {
  int64_t in_channels = 1;
  int64_t out_channels = 1;
  int64_t kernel_size = 1;  ///< odd
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  at::TensorOptions tensor = {};
};

/// 2-D convolution, zero padding of half the dilated kernel on every side.
struct Conv2dImpl : torch::nn::Module {
  explicit Conv2dImpl(const Conv2dOptions& options);

  /// In eval mode without gradients a convolution over all channels keeps packed weights (ops::PackedConv2d), which any
  /// change of a weight drops.
  at::Tensor forward(const at::Tensor& x);  ///< [N, C, H, W], channels_last
  at::Tensor apply(const at::Tensor& x, const at::Tensor& other_weight, const at::Tensor& other_bias) const;

  /// Overwrite the weight; add a bias where there was none.
  void assign(const at::Tensor& new_weight, const at::Tensor& new_bias);

  void train(bool on = true) override;

  Conv2dOptions options;
  at::Tensor weight;  ///< [out, in / groups, K, K]
  at::Tensor bias;    ///< [out], or undefined

 private:
  WeightCache<ops::PackedConv2d> packed_;
};
TORCH_MODULE(Conv2d);

/// One filter for each channel, stride 1, "same" padding.
Conv2dOptions depthwise(int64_t channels, int64_t kernel_size, int64_t dilation, bool bias, at::TensorOptions tensor);

struct LinearImpl : torch::nn::Module {
  LinearImpl(int64_t in_features, int64_t out_features, bool with_bias, at::TensorOptions tensor);

  at::Tensor forward(const at::Tensor& x);  ///< [..., in] -> [..., out]

  /// Overwrite the weight; add a bias where there was none.
  void assign(const at::Tensor& new_weight, const at::Tensor& new_bias);

  at::Tensor weight;  ///< [out, in]
  at::Tensor bias;    ///< [out], or undefined
};
TORCH_MODULE(Linear);

/// Layer normalisation over the last dimension of [N, C] or over the channels of [N, C, H, W]; eps 1e-6.
struct ChannelNormImpl : torch::nn::Module {
  ChannelNormImpl(int64_t channels, at::TensorOptions tensor);

  at::Tensor forward(const at::Tensor& x);
  at::Tensor forward_with_gelu(const at::Tensor& x);  ///< gelu(forward(x)), of a map

  at::Tensor weight;  ///< [C]
  at::Tensor bias;    ///< [C]
};
TORCH_MODULE(ChannelNorm);

/// Batch normalisation of [N, C, H, W]: eps 1e-5, momentum 0.1. Training with one value for each channel is a
/// UserError.
struct BatchNormImpl : torch::nn::Module {
  static constexpr double kEps = 1e-5;
  static constexpr double kMomentum = 0.1;

  BatchNormImpl(int64_t channels, at::TensorOptions tensor);

  at::Tensor forward(const at::Tensor& x, const Pass& pass = {});

  void train(bool on = true) override { torch::nn::Module::train(on && !frozen); }

  ops::NormTensors tensors() const { return {weight, bias, running_mean, running_var, num_batches_tracked}; }

  at::Tensor weight, bias;                      ///< [C]
  at::Tensor running_mean, running_var;         ///< [C]; the variance is the unbiased one
  at::Tensor num_batches_tracked;               ///< int64 scalar
  bool frozen = false;                          ///< in eval mode, whatever train() is told
  std::shared_ptr<Collective> collective = {};  ///< joins processes whose batches count as one in training
};
TORCH_MODULE(BatchNorm);

/// Weights of a global response normalisation (ops::grn) of [N, H, W, C].
struct GrnImpl : torch::nn::Module {
  GrnImpl(int64_t channels, bool with_beta, at::TensorOptions tensor);

  void drop_beta();

  at::Tensor gamma;  ///< [1, 1, 1, C]
  at::Tensor beta;   ///< [1, 1, 1, C], or undefined in deploy form
};
TORCH_MODULE(Grn);

/// Squeeze-excitation of [N, C, H, W] with C / 4 inner channels.
struct SqueezeExciteImpl : torch::nn::Module {
  SqueezeExciteImpl(int64_t channels, at::TensorOptions tensor);

  at::Tensor forward(const at::Tensor& x);

  Conv2d down{nullptr}, up{nullptr};
};
TORCH_MODULE(SqueezeExcite);

}  // namespace unireplk::nn
