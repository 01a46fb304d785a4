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

/// Every item once an epoch, in an order drawn from (seed + epoch); the last partial batch is dropped.
/// The order equals PyTorch's DistributedSampler: spec/image.md section 5.
std::unique_ptr<Sampler> shuffled_sampler(int64_t size, int64_t batch_size, uint64_t seed);

/// Every item once, in order; the last batch may be smaller.
std::unique_ptr<Sampler> sequential_sampler(int64_t size, int64_t batch_size);

}  // namespace unireplk::data
