#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "unireplk/tensor/collective.h"

namespace unireplk::ops {

/// A batch norm's tensors, each [C].
struct NormTensors {
  at::Tensor weight, bias;
  at::Tensor running_mean, running_var;  ///< undefined: not kept
  at::Tensor batches = {};               ///< int64 scalar, one more whenever these move; undefined: nobody counts
};

/// A depthwise kernel and the norm behind it.
struct DilatedBranch {
  at::Tensor weight;  ///< [C, 1, k, k], k odd
  int64_t dilation;
  NormTensors norm;
};

/// Depthwise branches of one map, each with its batch norm, and the norm of their sum: a Dilated Reparam Block and what
/// follows it. The first branch is the large one, which no other reaches beyond.
struct DilatedReparam {
  std::vector<DilatedBranch> branches;
  NormTensors outer;
  double eps;
  double momentum;  ///< share of a batch in running statistics; 1 / batches for their plain mean
  std::shared_ptr<Collective> collective = {};  ///< joins processes whose batches count as one
  bool keep_branches = false;  ///< on the CPU: until backward, which else computes them again; same bits
};

/// Whether the two functions below take these: on the CPU, parameters in float32 and x in float32 or a narrower type;
/// at most 8 branches, the large kernel undilated and from 7; and, with batch statistics, more than one pixel (unless
/// other processes may have them) and a map that every tap of the smaller branches meets. The same on a CUDA device in
/// builds for CUDA, but with batch statistics only without a collective and for the branches of a kernel 13.
bool can_fuse(const DilatedReparam& block, const at::Tensor& x, bool batch_statistics);

/// The block with batch statistics.
///
/// \param x                  [N, C, H, W], any strides; channels_last is not copied.
/// \param update_statistics  running statistics move as batch_norm moves them, and the batch is counted.
/// \return                   [N, C, H, W], channels_last.
/// \throws ContractError when shapes do not fit; in backward, when that is to be differentiated again. UserError when
///         the processes have but one pixel in all.
/// With a collective: one all_gather forward (a second where branches cancel), one all_reduce backward, gradients as
/// those of shared_batch_norm(), of kernels over this process's pixels.
/// Numerics: as in depthwise_conv2d(), statistics merged and folded in float64; the same bits for any number of
/// threads. Keeps x, for each channel the moments of its branches and, if told to, the branches. The biases of branches
/// cancel in the output; their gradients are exactly 0.
at::Tensor fused_dilated_reparam(const DilatedReparam& block, const at::Tensor& x, bool update_statistics);

/// The block with running statistics: one convolution with a kernel merged on the way, through which gradients reach
/// all weights.
at::Tensor merged_dilated_reparam(const DilatedReparam& block, const at::Tensor& x);

}  // namespace unireplk::ops
