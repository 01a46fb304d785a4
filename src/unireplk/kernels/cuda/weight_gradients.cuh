#pragma once

#include "unireplk/kernels/cuda/branches.cuh"

namespace unireplk::kernels::cuda {

/// Where gradients of the branches' weights go: [channels][taps] each.
struct WeightGradients {
  float* weight[kBranches];
};

}  // namespace unireplk::kernels::cuda
