#include <algorithm>
#include <cmath>
#include <functional>

#include "unireplk/train/schedule.h"

namespace unireplk::train {
namespace {

/// A power of gamma that changes from epoch to epoch.
class ByEpoch : public Schedule {
 public:
  /// \param exponent  of gamma, from the number of epochs done.
  ByEpoch(const WarmupConfig& warmup, const ScheduleSpan& span, double gamma, std::function<int64_t(int64_t)> exponent)
      : span_(span), warmup_(warmup, span), gamma_(gamma), exponent_(std::move(exponent)) {}

  StepSettings at(int64_t step) const override {
    const auto power = static_cast<double>(exponent_(step / span_.steps_per_epoch));
    const double factor = warmup_.is_on(step) ? warmup_.rise(step) : std::pow(gamma_, power);
    return {.lr = span_.base.lr * factor, .weight_decay = span_.base.weight_decay};
  }
  bool moves_weight_decay() const override { return false; }

 private:
  ScheduleSpan span_;
  Warmup warmup_;
  double gamma_;
  std::function<int64_t(int64_t)> exponent_;
};

int64_t count_up_to(const std::vector<int64_t>& milestones, int64_t epochs) {
  return std::upper_bound(milestones.begin(), milestones.end(), epochs) - milestones.begin();
}

}  // namespace

void MultistepConfig::validate(config::Problems& problems) const {
  const bool has_list = !milestones.empty();
  if (has_list == (start || step) || start.has_value() != step.has_value()) {
    problems.add("milestones", "expected either milestones, or start and step",
                 "Write `milestones: [30, 60]`, or `start: 30` and `step: 30`.");
  }
  if (std::adjacent_find(milestones.begin(), milestones.end(), std::greater_equal<>()) != milestones.end()) {
    problems.add("milestones", "expected rising epochs", "Put them in order, each once.");
  }
}

std::unique_ptr<Schedule> make_constant(const ConstantConfig& config, const ScheduleSpan& span) {
  return std::make_unique<ByEpoch>(config.warmup, span, 1.0, [](int64_t) { return 0; });
}

std::unique_ptr<Schedule> make_multistep(const MultistepConfig& config, const ScheduleSpan& span) {
  return std::make_unique<ByEpoch>(config.warmup, span, config.gamma, [config](int64_t epochs) -> int64_t {
    if (!config.start) return count_up_to(config.milestones, epochs);
    return epochs < *config.start ? 0 : (epochs - *config.start) / *config.step + 1;
  });
}

std::unique_ptr<Schedule> make_exponential(const ExponentialConfig& config, const ScheduleSpan& span) {
  return std::make_unique<ByEpoch>(config.warmup, span, config.gamma, [start = config.start](int64_t epochs) {
    return std::max<int64_t>(epochs - start, 0);
  });
}

}  // namespace unireplk::train
