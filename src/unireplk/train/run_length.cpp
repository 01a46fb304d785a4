#include "unireplk/train/run_length.h"

#include <algorithm>
#include <limits>

#include "unireplk/core/error.h"

namespace unireplk::train {

// Micro-batches that do not fill a last optimizer step are not trained on: spec/image.md section 10.
RunLength run_length(const TrainConfig& config, int64_t batches_per_epoch) {
  const int64_t steps = batches_per_epoch / config.accumulate_steps;
  if (steps == 0) {
    throw UserError(
        {"data.train",
         format("an epoch has {} full batches, one step takes {}", batches_per_epoch, config.accumulate_steps),
         "Lower batch_size or accumulate_steps, or give more data."});
  }
  UNIREPLK_CHECK(config.epochs || config.max_steps, "a run needs epochs or max_steps");
  constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
  const int64_t by_epochs = config.epochs && *config.epochs < kUnlimited / steps ? *config.epochs * steps : kUnlimited;
  return {.steps_per_epoch = steps, .total_steps = std::min(by_epochs, config.max_steps.value_or(kUnlimited))};
}

}  // namespace unireplk::train
