#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "unireplk/nn/circular_conv1d.h"
#include "unireplk/nn/layers.h"

/// The parts of Corrformer's decoder. Source: spec/time_series.md, A9. N nodes of R rows, width D = heads * d.
namespace unireplk::models {

using DrawFrom = std::optional<at::Generator>;  ///< for dropout; without it there is none

/// A decoder in plain numbers.
struct CorrelationOptions {
  int64_t width = 768;
  int64_t heads = 16;
  int64_t rows = 48;
  int64_t hidden = 2048;
  int64_t out = 11;
  std::vector<int64_t> tree{7, 50};  ///< nodes of each level within one of the level above
  double dropout = 0.05;
  double causal_dropout = 0.2;
};

struct Decomposition {
  at::Tensor rest, trend;
};

/// The moving mean over 25 rows, the ends repeated, and what is left of x [B, R, D].
Decomposition decompose(const at::Tensor& x);

/// corr[tau] = sum_t q[t + tau] k[t] along the last dimension, circular.
at::Tensor circular_correlation(const at::Tensor& q, const at::Tensor& k);

/// Roll the last dimension right by a shift for each row. \param shift  int64; its shape is the beginning of x's.
at::Tensor roll_last(const at::Tensor& x, const at::Tensor& shift);

/// What both correlations project with.
struct ProjectionsImpl : torch::nn::Module {
  ProjectionsImpl(const CorrelationOptions& options, at::TensorOptions tensor);

  /// [B, S, D] to [B, heads, d, rows], with zero rows at the end or cut.
  at::Tensor split(nn::Linear& layer, const at::Tensor& x, int64_t rows) const;

  nn::Linear query{nullptr}, key{nullptr}, value{nullptr}, out{nullptr};

 private:
  int64_t heads_;
};

/// Mix each node's own past by the strongest delays of its correlation with the memory.
struct AutoCorrelationImpl : ProjectionsImpl {
  using ProjectionsImpl::ProjectionsImpl;

  at::Tensor forward(const at::Tensor& x, const at::Tensor& memory);  ///< [B, R, D], [B, S, D] -> [B, R, D]
};
TORCH_MODULE(AutoCorrelation);

/// Convolution with kernel 3 that sees no later position, its weight as a length and a direction.
struct CausalConvImpl : torch::nn::Module {
  CausalConvImpl(int64_t channels, at::TensorOptions tensor);

  at::Tensor forward(const at::Tensor& x);  ///< [B, C, N]

  at::Tensor weight_g, weight_v, bias;  ///< [C, 1, 1], [C, C, 3], [C]
};
TORCH_MODULE(CausalConv);

struct CausalBlockImpl : torch::nn::Module {
  CausalBlockImpl(int64_t channels, double dropout, at::TensorOptions tensor);

  at::Tensor forward(const at::Tensor& x, const DrawFrom& generator);  ///< [B, C, N]

  CausalConv conv1{nullptr}, conv2{nullptr};

 private:
  double dropout_;
};
TORCH_MODULE(CausalBlock);

/// Mix the nodes of one level of the tree, aligned in time to their mean and ordered by delay.
struct CrossCorrelationImpl : ProjectionsImpl {
  CrossCorrelationImpl(const CorrelationOptions& options, at::TensorOptions tensor);

  /// \param x  [groups * nodes, R, D];  \param memory  [groups * nodes, S, D].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& memory, int64_t nodes, const DrawFrom& generator);

  CausalBlock causal{nullptr};
};
TORCH_MODULE(CrossCorrelation);

/// Over time in every node, and between nodes on every level of the tree with the same weights.
struct MultiCorrelationImpl : torch::nn::Module {
  MultiCorrelationImpl(const CorrelationOptions& options, at::TensorOptions tensor);

  at::Tensor forward(const at::Tensor& x, const at::Tensor& memory, const DrawFrom& generator);

  AutoCorrelation autocorrelation{nullptr};  ///< registered as "auto"
  CrossCorrelation cross{nullptr};

 private:
  std::vector<int64_t> tree_;
  double dropout_;
};
TORCH_MODULE(MultiCorrelation);

struct CorrelationDecoderImpl : torch::nn::Module {
  CorrelationDecoderImpl(const CorrelationOptions& options, at::TensorOptions tensor);

  /// The decoded rows [B * n, R, D], and what they add to the trend [B * n, R, out].
  std::pair<at::Tensor, at::Tensor> forward(const at::Tensor& x, const at::Tensor& memory, const DrawFrom& generator);

  MultiCorrelation self_corr{nullptr}, cross_corr{nullptr};
  nn::Linear fc1{nullptr}, fc2{nullptr};
  nn::CircularConv1d trend{nullptr};

 private:
  double dropout_;
};
TORCH_MODULE(CorrelationDecoder);

}  // namespace unireplk::models
