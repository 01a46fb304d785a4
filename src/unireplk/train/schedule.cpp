#include "unireplk/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "unireplk/core/error.h"

namespace unireplk::train {
namespace {

/// From `first` at i = 0 towards `last`, which i = length would reach.
double half_cosine(double first, double last, int64_t i, int64_t length) {
  const double share = static_cast<double>(i) / static_cast<double>(length);
  return last + 0.5 * (first - last) * (1 + std::cos(std::numbers::pi * share));
}

class Cosine : public Schedule {
 public:
  Cosine(const CosineConfig& config, const ScheduleSpan& span)
      : config_(config),
        span_(span),
        warmup_(config.warmup_steps > 0 ? config.warmup_steps : config.warmup_epochs * span.steps_per_epoch) {
    if (warmup_ > span.total_steps) {
      throw UserError({"train.schedule",
                       format("the warm-up of {} steps is longer than the run of {}", warmup_, span.total_steps),
                       "Shorten warmup_epochs or warmup_steps."});
    }
  }

  StepSettings at(int64_t step) const override {
    const double decay_end = config_.weight_decay_end.value_or(span_.base.weight_decay);
    return {.lr = lr(step), .weight_decay = half_cosine(span_.base.weight_decay, decay_end, step, span_.total_steps)};
  }

 private:
  double lr(int64_t step) const {
    if (step >= warmup_) return half_cosine(span_.base.lr, config_.min_lr, step - warmup_, span_.total_steps - warmup_);
    const auto rise = static_cast<double>(std::max<int64_t>(warmup_ - 1, 1));
    return span_.base.lr * static_cast<double>(step) / rise;
  }

  CosineConfig config_;
  ScheduleSpan span_;
  int64_t warmup_;
};

}  // namespace

std::unique_ptr<Schedule> make_cosine(const CosineConfig& config, const ScheduleSpan& span) {
  return std::make_unique<Cosine>(config, span);
}

}  // namespace unireplk::train
