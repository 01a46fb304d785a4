#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/tensor/context.h"
#include "unireplk/tensor/sample.h"

namespace unireplk::data {

struct SamplerConfig {
  int64_t aug_repeats = 1;

  static void fields(auto& self, auto&& visit) {
    visit("aug_repeats", self.aug_repeats, config::between(1, 1024),
          "Copies of each item in a row, each augmented by itself; an epoch stays as long.");
  }
};

/// Which items make up each batch: a pure function of epoch and step.
class Sampler {
 public:
  virtual ~Sampler() = default;

  /// Batches of an epoch, the same for every rank.
  virtual int64_t steps(int64_t epoch) const = 0;

  /// Samples of batch `step` of this rank. Padding is item 0.
  virtual std::vector<SampleKey> batch(int64_t epoch, int64_t step, Rank rank) const = 0;
};

/// Every item once an epoch, in an order drawn from (seed + epoch); the last partial batch of each rank is dropped.
/// The order equals PyTorch's DistributedSampler: spec/image.md section 5.
///
/// With aug_repeats N each item of the order stands there N times, as views 0 .. N - 1, and the order ends where it
/// would without: an epoch has as many steps and meets one item in N. Dealt to ranks, copies fall to neighbours. timm's
/// RepeatAugSampler also rounds the size down to a multiple of 256, which would leave nothing of small data.
///
/// \param ranks  processes that share an epoch; batch() must be asked with the same count.
/// \throws UserError when a rank's share does not fill one batch.
std::unique_ptr<Sampler> shuffled_sampler(int64_t size, int64_t batch_size, uint64_t seed, int64_t ranks = 1,
                                          SamplerConfig config = {});

/// Every item once, in order, dealt out to the ranks in turn; the last batch may be smaller. Ranks whose share is
/// shorter are padded, so that all take equally many steps.
std::unique_ptr<Sampler> sequential_sampler(int64_t size, int64_t batch_size, int64_t ranks = 1);

}  // namespace unireplk::data
