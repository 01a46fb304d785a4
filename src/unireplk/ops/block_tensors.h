#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "unireplk/kernels/block.h"
#include "unireplk/ops/dilated_reparam.h"

/// Between the tensors of a block and what its kernels take, on any device.
namespace unireplk::ops {

inline constexpr size_t kTensorsOfBranch = 3;  ///< kernel, gamma, beta

/// What carries gradients: kernel (contiguous), gamma and beta of each branch, outer gamma and beta.
std::vector<at::Tensor> block_tensors(const DilatedReparam& block);

kernels::BlockShape block_shape(const DilatedReparam& block, const at::Tensor& x);

/// \param tensors  as of block_tensors().
kernels::BlockWeights block_weights(at::TensorList tensors);

/// \throws ContractError when a norm keeps none.
kernels::RunningStatistics running_statistics(const DilatedReparam& block);

/// Memory for gradients of block_tensors(), in their order, and where kernels write them. Those of the betas of
/// branches are 0 already; there is none for x.
struct TensorsOfGradients {
  std::vector<at::Tensor> tensors;
  kernels::BlockGradients written;
};
TensorsOfGradients block_gradients(at::TensorList tensors);

}  // namespace unireplk::ops
