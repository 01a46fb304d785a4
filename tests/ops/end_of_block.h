#pragma once

#include <ATen/ATen.h>

#include "ops/random_block.h"
#include "unireplk/ops/normed_branch.h"

namespace unireplk::ops {

/// The end of a block with running statistics that start anywhere.
struct EndOfBlock {
  explicit EndOfBlock(int64_t channels, const at::TensorOptions& options = at::kFloat)
      : mean(random_vector(channels, 11, options)),
        variance(random_vector(channels, 12, options).square() + 1),
        batches(at::zeros({}, options.dtype(at::kLong))) {}

  /// \param t  x, y, weight and bias of the norm, layer scale or none.
  NormedBranch branch(const std::vector<at::Tensor>& t, const at::Tensor& mask) const {
    return {.y = t[1],
            .norm = {.weight = t[2], .bias = t[3], .running_mean = mean, .running_var = variance, .batches = batches},
            .eps = kEps,
            .momentum = kMomentum,
            .layer_scale = t.size() > 4 ? t[4] : at::Tensor(),
            .mask = mask};
  }

  at::Tensor mean, variance;
  at::Tensor batches;

 private:
  static at::Tensor random_vector(int64_t channels, unsigned seed, const at::TensorOptions& options) {
    at::manual_seed(seed);
    return at::randn({channels}).to(options);
  }
};

}  // namespace unireplk::ops
