#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "unireplk/tensor/context.h"

namespace unireplk::data {

/// Which items make up each batch: a pure function of epoch and step.
class Sampler {
 public:
  virtual ~Sampler() = default;

  /// Batches of an epoch, the same for every rank.
  virtual int64_t steps(int64_t epoch) const = 0;

  /// Item indices of batch `step` of this rank. -1 marks padding that no metric may count.
  virtual std::vector<int64_t> batch(int64_t epoch, int64_t step, Rank rank) const = 0;
};

/// Every item once an epoch, in an order drawn from (seed + epoch); the last partial batch of each rank is dropped.
/// The order equals PyTorch's DistributedSampler: spec/image.md section 5.
///
/// \param ranks  processes that share an epoch; batch() must be asked with the same count.
/// \throws UserError when a rank's share does not fill one batch.
std::unique_ptr<Sampler> shuffled_sampler(int64_t size, int64_t batch_size, uint64_t seed, int64_t ranks = 1);

/// Every item once, in order, dealt out to the ranks in turn; the last batch may be smaller. Ranks whose share is
/// shorter are padded with -1, so that all take equally many steps.
std::unique_ptr<Sampler> sequential_sampler(int64_t size, int64_t batch_size, int64_t ranks = 1);

}  // namespace unireplk::data
