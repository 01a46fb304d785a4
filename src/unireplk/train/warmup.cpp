#include "unireplk/train/warmup.h"

#include <algorithm>

#include "unireplk/core/error.h"

namespace unireplk::train {

int64_t warmup_length(int64_t warmup_epochs, int64_t warmup_steps, const ScheduleSpan& span) {
  const int64_t length = warmup_steps > 0 ? warmup_steps : warmup_epochs * span.steps_per_epoch;
  if (length > span.total_steps) {
    throw UserError({"train.schedule",
                     format("the warm-up of {} steps is longer than the run of {}", length, span.total_steps),
                     "Shorten warmup_epochs or warmup_steps."});
  }
  return length;
}

double Warmup::rise(int64_t step) const {
  if (every_ > 1) return static_cast<double>(step / every_ * every_) / static_cast<double>(length_);
  return static_cast<double>(step) / static_cast<double>(std::max<int64_t>(length_ - 1, 1));
}

}  // namespace unireplk::train
