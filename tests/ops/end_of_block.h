#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <memory>
#include <vector>

#include "ops/random_block.h"
#include "support/catch.h"
#include "support/thread_ranks.h"
#include "support/tolerances.h"
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

/// That two ranks, the first with two images, come to what one does that has all of them.
/// \param inputs  as in EndOfBlock::branch(), maps of five images.
inline void check_two_ranks(const std::vector<at::Tensor>& inputs) {
  const auto make = [&] { return EndOfBlock(inputs[0].size(1), at::TensorOptions(inputs[0].device())); };
  const auto alone = make();
  const auto expected = add_normed_branch(inputs[0], alone.branch(inputs, {}), true);
  const std::vector<EndOfBlock> tails{make(), make()};
  std::vector<at::Tensor> ys(2);
  test::ThreadRanks ranks(2);
  ranks.run([&](const std::shared_ptr<Collective>& collective) {
    const at::NoGradGuard no_graph;  // backward of all threads shares one, which cannot wait for itself
    const auto i = static_cast<size_t>(collective->rank().index);
    auto mine = inputs;
    for (size_t map = 0; map < 2; ++map) mine[map] = inputs[map].split_with_sizes({2, 3})[i];
    auto branch = tails[i].branch(mine, {});
    branch.collective = collective;
    ys[i] = add_normed_branch(mine[0], branch, true);
  });
  CHECK(error_of(at::cat(ys), expected) <= test::kFusedF32);
  for (const auto& tail : tails) {
    CHECK(tail.batches.item<int64_t>() == 1);
    CHECK(error_of(tail.mean, alone.mean) <= test::kFusedF32);
    CHECK(error_of(tail.variance, alone.variance) <= test::kFusedF32);
  }
}

}  // namespace unireplk::ops
