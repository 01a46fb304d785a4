#pragma once

#include <ATen/core/Tensor.h>

#include "unireplk/ops/dilated_reparam.h"

namespace unireplk::ops {

/// What is added to a map at the end of a block, as one operator: x + batch_norm(y) * layer_scale * mask.
struct NormedBranch {
  at::Tensor y;  ///< [N, C, H, W], any strides; channels_last is not copied
  NormTensors norm;
  double eps;
  double momentum;
  at::Tensor layer_scale;                       ///< [C], or undefined: 1
  at::Tensor mask;                              ///< [N, 1, 1, 1] (drop_path_mask), or undefined: 1
  std::shared_ptr<Collective> collective = {};  ///< joins processes whose batches count as one
};

/// Whether add_normed_branch() takes these: maps that have passes (ops/passes.h), all else in float32 and running
/// statistics contiguous, more than one pixel unless other processes may have them.
bool can_fuse(const NormedBranch& branch, const at::Tensor& x);

/// \param x                  [N, C, H, W], any strides; channels_last is not copied.
/// \param update_statistics  running statistics move as batch_norm moves them, and the batch is counted.
/// \return                   [N, C, H, W], channels_last; float32 unless both maps are narrower and neither layer scale
///                           nor mask is given.
/// \throws ContractError when shapes do not fit; in backward, when that is to be differentiated again. UserError when
///         the processes have but one pixel in all.
/// With a collective: as shared_batch_norm(), the gradient of layer_scale too.
/// Numerics: batch statistics, merged in float64. y is read twice forward and twice backward; the same bits for any
/// number of threads. Keeps y and the statistics.
at::Tensor add_normed_branch(const at::Tensor& x, const NormedBranch& branch, bool update_statistics);

}  // namespace unireplk::ops
