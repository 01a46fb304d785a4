#pragma once

#include "unireplk/kernels/cuda/branches.cuh"
#include "unireplk/kernels/cuda/element.h"

namespace unireplk::kernels::cuda {

/// Where gradients of the branches' weights go: [channels][taps] each.
struct WeightGradients {
  float* weight[kBranches];
};

/// Gradients of the weights of all branches, from products of x with them (second_moments.h).
/// \param correlation   [taps of the large kernel][channels] = sum_p dy[p] x[p + k]
/// \param coefficients  block_coefficients.h
void weight_gradients(const Map& map, const float* correlation, const float* coefficients, const float* products,
                      const WeightGradients& gradients, Stream stream);

}  // namespace unireplk::kernels::cuda
