#include <algorithm>
#include <cmath>

#include "unireplk/core/error.h"
#include "unireplk/train/schedule.h"
#include "unireplk/train/stagnation.h"

namespace unireplk::train {
namespace {

class Plateau : public Schedule, public Stateful {
 public:
  Plateau(const PlateauConfig& config, const ScheduleSpan& span)
      : config_(config), span_(span), warmup_(config.warmup, span), stagnation_({.relative = config.threshold}) {
    if (span.is_validated) return;
    throw UserError({"train.schedule", "plateau hears of validations, and there is no data.validation",
                     "Add data.validation, or choose another schedule."});
  }

  StepSettings at(int64_t step) const override {
    return {.lr = warmup_.is_on(step) ? span_.base.lr * warmup_.rise(step) : fallen(),
            .weight_decay = span_.base.weight_decay};
  }
  bool moves_weight_decay() const override { return false; }

  void consider(const tasks::Metric& primary) override {
    stagnation_.consider(primary);
    if (cooldown_left_ > 0) {
      --cooldown_left_;
      stagnation_.forget();
    }
    if (stagnation_.count() <= config_.patience) return;
    ++falls_;
    cooldown_left_ = config_.cooldown;
    stagnation_.forget();
  }

  Stateful* state() override { return this; }

  void save(StateWriter& writer) const override {
    stagnation_.save(writer);
    writer.integer("falls", falls_);
    writer.integer("cooldown_left", cooldown_left_);
  }

  void load(const StateReader& reader) override {
    stagnation_.load(reader);
    falls_ = reader.integer("falls");
    cooldown_left_ = reader.integer("cooldown_left");
  }

 private:
  double fallen() const {
    if (falls_ == 0) return span_.base.lr;
    return std::max(span_.base.lr * std::pow(config_.factor, static_cast<double>(falls_)), config_.min_lr);
  }

  PlateauConfig config_;
  ScheduleSpan span_;
  Warmup warmup_;
  Stagnation stagnation_;
  int64_t falls_ = 0;
  int64_t cooldown_left_ = 0;
};

}  // namespace

std::unique_ptr<Schedule> make_plateau(const PlateauConfig& config, const ScheduleSpan& span) {
  return std::make_unique<Plateau>(config, span);
}

}  // namespace unireplk::train
