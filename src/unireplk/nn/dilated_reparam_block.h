#pragma once

#include <vector>

#include "unireplk/nn/branches.h"
#include "unireplk/nn/layers.h"
#include "unireplk/nn/merge.h"
#include "unireplk/ops/dilated_reparam.h"

namespace unireplk::nn {

/// A large depthwise kernel and small dilated ones beside it, each with a batch norm; their sum is the
/// output. In deploy form one kernel with a bias (spec: model, section 2.1).
struct DilatedReparamBlockImpl : torch::nn::Module {
  /// \param branches  must fit (check_branches); ignored in deploy form.
  DilatedReparamBlockImpl(int64_t channels, int64_t kernel_size, std::vector<Branch> branches, bool deploy,
                          at::TensorOptions tensor);

  at::Tensor forward(const at::Tensor& x, const Pass& pass = {});

  /// forward() and then `outer`, in one go where there is a kernel for it (ops::can_fuse) and all norms are in the same
  /// mode.
  at::Tensor forward_with_norm(const at::Tensor& x, BatchNormImpl& outer, const Pass& pass = {});

  bool is_merged() const { return origin_bn.is_empty(); }

  /// The one kernel equal to all branches with their running statistics. Train form only.
  Affine merged() const;

  /// Become the deploy form with this kernel.
  void become(const Affine& merged);

  std::vector<Branch> branches;  ///< in deploy form empty
  bool keep_branches = false;    ///< of forward_with_norm(), until backward (ops::DilatedReparam)
  Conv2d lk_origin{nullptr};
  BatchNorm origin_bn{nullptr};
  std::vector<Conv2d> dil_convs;
  std::vector<BatchNorm> dil_bns;

 private:
  ops::DilatedReparam tensors(const BatchNormImpl& outer) const;

  /// Whether every batch norm here is in the mode of `outer` and counts the same batches.
  bool norms_agree(const BatchNormImpl& outer) const;
};
TORCH_MODULE(DilatedReparamBlock);

}  // namespace unireplk::nn
