#include "unireplk/data/sampler.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/randperm.h>

#include <algorithm>
#include <mutex>

#include "unireplk/core/error.h"

namespace unireplk::data {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

void check_request(int64_t step, int64_t steps, Rank rank, int64_t ranks) {
  UNIREPLK_CHECK(rank.count == ranks && rank.index >= 0 && rank.index < ranks,
                 "sampler: made for {} ranks, asked by rank {} of {}", ranks, rank.index, rank.count);
  UNIREPLK_CHECK(step >= 0 && step < steps, "sampler: step {} of an epoch of {} steps", step, steps);
}

/// An order of items drawn anew for each epoch.
class DrawnSampler : public Sampler {
 public:
  /// \param weights  of the items, drawn with replacement; undefined: each once.
  DrawnSampler(int64_t size, at::Tensor weights, int64_t batch_size, uint64_t seed, int64_t ranks,
               const SamplerConfig& config)
      : size_(size),
        weights_(std::move(weights)),
        batch_size_(batch_size),
        seed_(seed),
        ranks_(ranks),
        views_(config.aug_repeats),
        steps_(ceil_div(size, ranks) / batch_size) {}

  int64_t steps(int64_t) const override { return steps_; }

  std::vector<SampleKey> batch(int64_t epoch, int64_t step, Rank rank) const override {
    check_request(step, steps_, rank, ranks_);
    const at::Tensor order = order_of(epoch);
    const int64_t* items = order.const_data_ptr<int64_t>();
    std::vector<SampleKey> batch(static_cast<size_t>(batch_size_));
    for (int64_t i = 0; i < batch_size_; ++i) {
      const int64_t position = rank.index + (step * batch_size_ + i) * ranks_;
      batch[static_cast<size_t>(i)] = {.item = items[position / views_ % size_],  // padded with its own beginning
                                       .view = static_cast<int32_t>(position % views_)};
    }
    return batch;
  }

 private:
  /// The items of an epoch. The latest are kept: drawing a million takes tens of milliseconds.
  at::Tensor order_of(int64_t epoch) const {
    const std::lock_guard lock(mutex_);
    if (!order_.defined() || epoch != epoch_) {
      const auto generator = at::detail::createCPUGenerator(seed_ + static_cast<uint64_t>(epoch));
      order_ = weights_.defined() ? at::multinomial(weights_, size_, /*replacement=*/true, generator)
                                  : at::randperm(size_, generator, at::TensorOptions(at::kLong));
      epoch_ = epoch;
    }
    return order_;
  }

  const int64_t size_;
  const at::Tensor weights_;
  const int64_t batch_size_;
  const uint64_t seed_;
  const int64_t ranks_;
  const int64_t views_;  ///< of each item
  const int64_t steps_;
  mutable std::mutex mutex_;
  mutable at::Tensor order_;
  mutable int64_t epoch_ = 0;
};

class SequentialSampler : public Sampler {
 public:
  SequentialSampler(int64_t size, int64_t batch_size, int64_t ranks)
      : size_(size), batch_size_(batch_size), ranks_(ranks), share_(ceil_div(size, ranks)) {}

  int64_t steps(int64_t) const override { return ceil_div(share_, batch_size_); }

  std::vector<SampleKey> batch(int64_t epoch, int64_t step, Rank rank) const override {
    check_request(step, steps(epoch), rank, ranks_);
    std::vector<SampleKey> batch;
    const int64_t end = std::min((step + 1) * batch_size_, share_);
    for (int64_t i = step * batch_size_; i < end; ++i) {
      const int64_t item = rank.index + i * ranks_;
      batch.push_back(item < size_ ? SampleKey{.item = item} : SampleKey{.padding = true});
    }
    return batch;
  }

 private:
  const int64_t size_;
  const int64_t batch_size_;
  const int64_t ranks_;
  const int64_t share_;
};

void check_sizes(int64_t size, int64_t batch_size, int64_t ranks) {
  UNIREPLK_CHECK(size >= 0 && batch_size >= 1 && ranks >= 1, "sampler: {} items, batches of {}, {} ranks", size,
                 batch_size, ranks);
}

std::unique_ptr<Sampler> drawn_sampler(int64_t size, at::Tensor weights, int64_t batch_size, uint64_t seed,
                                       int64_t ranks, const SamplerConfig& config) {
  check_sizes(size, batch_size, ranks);
  UNIREPLK_CHECK(config.aug_repeats >= 1, "sampler: {} copies of each item", config.aug_repeats);
  const int64_t share = ceil_div(size, ranks);
  if (share < batch_size) {
    throw UserError({"data.loader.batch_size",
                     format("expected at most the {} training samples of each process, got {}", share, batch_size),
                     "Use a smaller batch or more data."});
  }
  return std::make_unique<DrawnSampler>(size, std::move(weights), batch_size, seed, ranks, config);
}

}  // namespace

std::unique_ptr<Sampler> shuffled_sampler(int64_t size, int64_t batch_size, uint64_t seed, int64_t ranks,
                                          SamplerConfig config) {
  return drawn_sampler(size, {}, batch_size, seed, ranks, config);
}

std::unique_ptr<Sampler> weighted_sampler(at::Tensor weights, int64_t batch_size, uint64_t seed, int64_t ranks,
                                          SamplerConfig config) {
  UNIREPLK_CHECK(weights.dim() == 1 && weights.scalar_type() == at::kDouble, "sampler: expected float64 weights [N]");
  constexpr int64_t kMost = int64_t{1} << 24;
  const int64_t size = weights.size(0);
  if (size > kMost) {
    throw UserError({"data.sampler.kind", format("expected at most {} items to draw from, got {}", kMost, size),
                     "Use kind: shuffled."});
  }
  return drawn_sampler(size, std::move(weights), batch_size, seed, ranks, config);
}

std::unique_ptr<Sampler> sequential_sampler(int64_t size, int64_t batch_size, int64_t ranks) {
  check_sizes(size, batch_size, ranks);
  return std::make_unique<SequentialSampler>(size, batch_size, ranks);
}

}  // namespace unireplk::data
