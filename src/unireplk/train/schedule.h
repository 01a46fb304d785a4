#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/config/registry.h"
#include "unireplk/train/optimizer.h"
#include "unireplk/train/warmup.h"

namespace unireplk::tasks {
struct Metric;
}

namespace unireplk::train {

/// Learning rate and weight decay of every optimizer step, from 0.
class Schedule {
 public:
  virtual ~Schedule() = default;

  /// A pure function of the step and of the validations heard of.
  virtual StepSettings at(int64_t step) const = 0;

  /// False when weight decay is the same in all steps.
  virtual bool moves_weight_decay() const { return true; }

  /// Hear of a validation: the primary metric.
  virtual void consider(const tasks::Metric& /*primary*/) {}

  /// What validations have changed; null where they change nothing.
  virtual Stateful* state() { return nullptr; }
};

using MakeSchedule = std::unique_ptr<Schedule>(const ScheduleSpan& span);

/// `name: cosine`.
struct CosineConfig {
  WarmupConfig warmup = {};
  double min_lr = 1e-6;
  std::optional<double> weight_decay_end;

  static void fields(auto& self, auto&& visit) {
    WarmupConfig::fields(self.warmup, visit);
    visit("min_lr", self.min_lr, config::non_negative, "Learning rate that the cosine tends to.");
    visit("weight_decay_end", self.weight_decay_end, config::non_negative,
          "Weight decay that its own cosine tends to; left out, weight decay is constant.");
  }
};

/// Warm-up, then half a cosine over the steps that are left: spec/image.md section 9.
std::unique_ptr<Schedule> make_cosine(const CosineConfig& config, const ScheduleSpan& span);

/// `name: poly`.
struct PolyConfig {
  int64_t warmup_epochs = 0;
  int64_t warmup_steps = 0;
  double warmup_ratio = 1e-6;
  double power = 1;
  double min_lr = 0;

  static void fields(auto& self, auto&& visit) {
    visit("warmup_epochs", self.warmup_epochs, config::non_negative, "Epochs in which a factor rises to 1.");
    visit("warmup_steps", self.warmup_steps, config::non_negative,
          "The same in steps; above 0 it replaces warmup_epochs.");
    visit("warmup_ratio", self.warmup_ratio, config::fraction, "The factor at the first step.");
    visit("power", self.power, config::positive, "Of the share of the run that is left.");
    visit("min_lr", self.min_lr, config::non_negative, "Learning rate that the run ends towards.");
  }
};

/// (lr - min_lr) (1 - k / K)^power + min_lr at step k of K. A warm-up of w steps multiplies it, as in MMSegmentation:
/// 1 - (1 - k / w) (1 - warmup_ratio).
std::unique_ptr<Schedule> make_poly(const PolyConfig& config, const ScheduleSpan& span);

/// `name: constant`.
struct ConstantConfig {
  WarmupConfig warmup = {};

  static void fields(auto& self, auto&& visit) { WarmupConfig::fields(self.warmup, visit); }
};

/// Warm-up, then the learning rate of the optimizer.
std::unique_ptr<Schedule> make_constant(const ConstantConfig& config, const ScheduleSpan& span);

/// `name: multistep`.
struct MultistepConfig {
  WarmupConfig warmup = {};
  std::vector<int64_t> milestones = {};
  std::optional<int64_t> start = {};
  std::optional<int64_t> step = {};
  double gamma = 0.1;

  static void fields(auto& self, auto&& visit) {
    WarmupConfig::fields(self.warmup, visit);
    visit("milestones", self.milestones, config::non_negative,
          "Epochs done at which the learning rate is multiplied, rising.");
    visit("start", self.start, config::non_negative, "The first of evenly spaced milestones, in the place of a list.");
    visit("step", self.step, config::at_least(1), "Epochs from each of them to the next.");
    visit("gamma", self.gamma, config::positive, "What the learning rate is multiplied with at each milestone.");
  }
  void validate(config::Problems& problems) const;
};

/// lr gamma^n in an epoch with n milestones at or before the number of epochs done, as torch's MultiStepLR
/// (spec/audio.md section 6.2).
std::unique_ptr<Schedule> make_multistep(const MultistepConfig& config, const ScheduleSpan& span);

/// `name: exponential`.
struct ExponentialConfig {
  WarmupConfig warmup = {};
  double gamma = 0.9;
  int64_t start = 0;

  static void fields(auto& self, auto&& visit) {
    WarmupConfig::fields(self.warmup, visit);
    visit("gamma", self.gamma, config::positive, "What each epoch multiplies the learning rate with.");
    visit("start", self.start, config::non_negative, "Epochs done up to which the learning rate stays as it is.");
  }
};

/// lr gamma^(e - start) with e > start epochs done, lr before, as torch's ExponentialLR where start is 0. `{gamma: 0.5,
/// start: 1}` is the schedule of spec/time_series.md section A10, `{gamma: 0.9, start: 3}` that of B5.
std::unique_ptr<Schedule> make_exponential(const ExponentialConfig& config, const ScheduleSpan& span);

/// `name: plateau`.
struct PlateauConfig {
  WarmupConfig warmup = {};
  double factor = 0.1;
  int64_t patience = 10;
  double threshold = 1e-4;
  int64_t cooldown = 0;
  double min_lr = 0;

  static void fields(auto& self, auto&& visit) {
    WarmupConfig::fields(self.warmup, visit);
    visit("factor", self.factor, config::Range{.low = 0, .high = 1, .open_low = true, .open_high = true},
          "What a plateau multiplies the learning rate with.");
    visit("patience", self.patience, config::non_negative,
          "Validations in a row without a better primary metric; one more is a plateau.");
    visit("threshold", self.threshold, config::below_one, "Share of the best value by which a better one differs.");
    visit("cooldown", self.cooldown, config::non_negative, "Validations after a plateau that do not count.");
    visit("min_lr", self.min_lr, config::non_negative, "The learning rate falls no further.");
  }
};

/// Falls when the primary metric of the validation data does not get better, as torch's ReduceLROnPlateau in relative
/// mode. \throws UserError when nothing is validated.
std::unique_ptr<Schedule> make_plateau(const PlateauConfig& config, const ScheduleSpan& span);

}  // namespace unireplk::train
