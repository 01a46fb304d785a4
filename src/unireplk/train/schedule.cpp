#include "unireplk/train/schedule.h"

#include <cmath>
#include <numbers>

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
      : config_(config), span_(span), warmup_(config.warmup, span) {}

  StepSettings at(int64_t step) const override {
    const double decay_end = config_.weight_decay_end.value_or(span_.base.weight_decay);
    return {.lr = lr(step), .weight_decay = half_cosine(span_.base.weight_decay, decay_end, step, span_.total_steps)};
  }
  bool moves_weight_decay() const override { return config_.weight_decay_end.has_value(); }

 private:
  double lr(int64_t step) const {
    if (warmup_.is_on(step)) return span_.base.lr * warmup_.rise(step);
    return half_cosine(span_.base.lr, config_.min_lr, step - warmup_.length(), span_.total_steps - warmup_.length());
  }

  CosineConfig config_;
  ScheduleSpan span_;
  Warmup warmup_;
};

class Poly : public Schedule {
 public:
  Poly(const PolyConfig& config, const ScheduleSpan& span)
      : config_(config), span_(span), warmup_(warmup_length(config.warmup_epochs, config.warmup_steps, span)) {}

  StepSettings at(int64_t step) const override {
    const double left = 1 - static_cast<double>(step) / static_cast<double>(span_.total_steps);
    const double lr = (span_.base.lr - config_.min_lr) * std::pow(left, config_.power) + config_.min_lr;
    return {.lr = lr * rise(step), .weight_decay = span_.base.weight_decay};
  }
  bool moves_weight_decay() const override { return false; }

 private:
  double rise(int64_t step) const {
    if (step >= warmup_) return 1;
    const double missing = 1 - static_cast<double>(step) / static_cast<double>(warmup_);
    return 1 - missing * (1 - config_.warmup_ratio);
  }

  PolyConfig config_;
  ScheduleSpan span_;
  int64_t warmup_;
};

}  // namespace

std::unique_ptr<Schedule> make_cosine(const CosineConfig& config, const ScheduleSpan& span) {
  return std::make_unique<Cosine>(config, span);
}

std::unique_ptr<Schedule> make_poly(const PolyConfig& config, const ScheduleSpan& span) {
  return std::make_unique<Poly>(config, span);
}

}  // namespace unireplk::train
