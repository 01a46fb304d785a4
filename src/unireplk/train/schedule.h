#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "unireplk/config/constraints.h"
#include "unireplk/config/registry.h"
#include "unireplk/train/optimizer.h"

namespace unireplk::train {

/// What a schedule needs to know of a run.
struct ScheduleSpan {
  StepSettings base;            ///< of the optimizer
  int64_t steps_per_epoch = 0;  ///< optimizer steps
  int64_t total_steps = 0;
};

/// Learning rate and weight decay as a pure function of the optimizer step, from 0.
class Schedule {
 public:
  virtual ~Schedule() = default;
  virtual StepSettings at(int64_t step) const = 0;
};

using MakeSchedule = std::unique_ptr<Schedule>(const ScheduleSpan& span);

/// `name: cosine`.
struct CosineConfig {
  int64_t warmup_epochs = 0;
  int64_t warmup_steps = 0;
  double min_lr = 1e-6;
  std::optional<double> weight_decay_end;

  static void fields(auto& self, auto&& visit) {
    visit("warmup_epochs", self.warmup_epochs, config::non_negative, "Epochs of linear rise from 0 to lr.");
    visit("warmup_steps", self.warmup_steps, config::non_negative,
          "The same in steps; above 0 it replaces warmup_epochs.");
    visit("min_lr", self.min_lr, config::non_negative, "Learning rate that the cosine tends to.");
    visit("weight_decay_end", self.weight_decay_end, config::non_negative,
          "Weight decay that its own cosine tends to; left out, weight decay is constant.");
  }
};

/// Linear warm-up from 0 to lr, both included, then half a cosine: spec/image.md section 9.
std::unique_ptr<Schedule> make_cosine(const CosineConfig& config, const ScheduleSpan& span);

}  // namespace unireplk::train
