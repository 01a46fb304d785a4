#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "unireplk/ops/dilated_reparam.h"
#include "unireplk/tensor/collective.h"

namespace unireplk::ops {

/// Batch normalisation with the statistics of the batches of all ranks as one: one all_gather forward, one all_reduce
/// backward. Any device and floating type; maps of different ranks may differ in all but their channels, and have no
/// pixels on some.
///
/// \param x                  [N, C, H, W], any strides, which the result has too.
/// \param update_statistics  running statistics move as batch_norm moves them, by those of all ranks, and the batch
///                           is counted.
/// \throws UserError when the ranks have but one pixel in all; ContractError in backward, when that is to be
///         differentiated again.
/// Gradients: that of x is of this rank's pixels, for a loss that is the sum over ranks. Those of weight and bias are
/// the sums over all ranks divided by their number, so that averaging gradients over ranks changes nothing about them.
at::Tensor shared_batch_norm(const at::Tensor& x, const NormTensors& norm, double eps, double momentum,
                             bool update_statistics, const std::shared_ptr<Collective>& collective);

}  // namespace unireplk::ops
