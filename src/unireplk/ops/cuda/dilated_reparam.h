#pragma once

#include <ATen/core/Tensor.h>

#include "unireplk/ops/dilated_reparam.h"

namespace unireplk::ops::cuda {

/// Whether the block's branches have a kernel for batch statistics, for x on a CUDA device.
bool has_block_kernel(const DilatedReparam& block, const at::Tensor& x);

/// As ops::fused_dilated_reparam(), which has checked the shapes.
at::Tensor fused_dilated_reparam(const DilatedReparam& block, const at::Tensor& x, bool update_statistics);

}  // namespace unireplk::ops::cuda
