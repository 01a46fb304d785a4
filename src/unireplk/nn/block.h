#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "unireplk/nn/dilated_reparam_block.h"
#include "unireplk/nn/layers.h"
#include "unireplk/nn/merge.h"
#include "unireplk/nn/weight_cache.h"
#include "unireplk/ops/packed_linear.h"

namespace unireplk::nn {

struct BlockOptions {
  int64_t channels = 40;           ///< at least 4
  int64_t kernel_size = 13;        ///< 0: no token mixer; odd from 3: depthwise, with dilated branches from 7
  double layer_scale_init = 1e-6;  ///< <= 0: no layer scale
  std::optional<std::vector<Branch>> branches = {};  ///< beside kernels from 7; default_branches() when not given
  bool deploy = false;
  at::TensorOptions tensor = {};
  bool keep_branches = false;  ///< for backward, which else computes dilated branches again
};

/// The dilated branches that a block has beside its large kernel: none in deploy form, or beside kernels under 7.
std::vector<Branch> dilated_branches(const BlockOptions& options);

/// The block's two merged maps, in float64 (spec: model, section 5).
struct MergedBlock {
  Affine mixer;   ///< dwconv and norm; undefined for kernel size 0
  Affine output;  ///< pwconv2, its norm, the beta of GRN and layer scale
};

/// What a block computes with in inference, in its own dtype.
struct MergedWeights {
  at::Tensor mixer_weight, mixer_bias;  ///< undefined when the block mixes no tokens (kernel size 0)
  ops::PackedLinear input;              ///< pwconv1
  ops::PackedLinear output;             ///< pwconv2, layer scale included
};

/// x + drop_path(gamma * branch(x)) with branch = depthwise token mixer, squeeze-excitation, feed-forward
/// with GRN (spec: model, section 2). One class for train form (branches, batch norms) and deploy form
/// (none).
///
/// Maps are [N, C, H, W], channels_last throughout; nothing inside copies to another layout.
/// In eval mode without gradients both forms run merged and packed weights from a cache, dropped on any weight change.
struct BlockImpl : torch::nn::Module {
  /// \throws UserError for a kernel size or branches that do not fit.
  explicit BlockImpl(const BlockOptions& options);

  /// \param drop_mask  [N, 1, 1, 1] (ops::drop_path_mask), or undefined.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& drop_mask = {}, const Pass& pass = {});

  /// The branch before layer scale as its parts stand, never from the cache nor fused: the judge of every merged form.
  /// In deploy form layer scale is folded in.
  at::Tensor unfused(const at::Tensor& x, const Pass& pass = {});

  bool is_merged() const { return pwconv2_norm.is_empty(); }

  /// Merged maps of the train form with running statistics.
  MergedBlock merged() const;

  /// Become the deploy form, in place; each number is rounded once. Nothing happens to a block that is one
  /// already.
  void merge();

  void train(bool on = true) override;

  const BlockOptions& options() const { return options_; }

  at::Tensor gamma;                             ///< [C], or undefined
  Conv2d dwconv{nullptr};                       ///< kernel size 3 and 5
  DilatedReparamBlock dwconv_dilated{nullptr};  ///< kernel sizes from 7; also registered as "dwconv"
  BatchNorm norm{nullptr};
  SqueezeExcite se{nullptr};
  Linear pwconv1{nullptr};          ///< "pwconv1.1"
  Grn grn{nullptr};                 ///< "act.1"
  Linear pwconv2{nullptr};          ///< "pwconv2.0"
  BatchNorm pwconv2_norm{nullptr};  ///< "pwconv2.2"

 private:
  bool runs_merged(const Pass& pass) const;
  MergedWeights merged_weights(const at::Tensor& x);
  MergedWeights compute_merged_weights(int64_t rows) const;
  MergedBlock own_maps() const;  ///< of the deploy form, in its dtype
  std::vector<at::Tensor> merge_sources() const;

  at::Tensor run_merged(const at::Tensor& x, const at::Tensor& drop_mask);

  /// The token mixer and its norm, [N, C, H, W].
  at::Tensor mix(const at::Tensor& x, const Pass& pass);

  /// From the mixed tokens [N, C, H, W] to the input of pwconv2 [N, H, W, 4C].
  at::Tensor fused_hidden(const at::Tensor& mixed, const at::Tensor& beta);

  /// From the output of pwconv2, y [N, C, H, W], to that of the block.
  at::Tensor add_output(const at::Tensor& x, const at::Tensor& y, const at::Tensor& drop_mask, const Pass& pass);

  BlockOptions options_;
  std::shared_ptr<torch::nn::Module> pwconv2_group_;
  WeightCache<MergedWeights> cache_;
};
TORCH_MODULE(Block);

}  // namespace unireplk::nn
