#pragma once

#include <cstdint>

#include "unireplk/config/constraints.h"
#include "unireplk/train/optimizer.h"

namespace unireplk::train {

/// What a schedule needs to know of a run.
struct ScheduleSpan {
  StepSettings base;            ///< of the optimizer
  int64_t steps_per_epoch = 0;  ///< optimizer steps
  int64_t total_steps = 0;
  bool is_validated = false;  ///< the run has validation data
};

/// Keys of a schedule that begins with a rise to lr. While it lasts the schedule itself has no say.
struct WarmupConfig {
  int64_t warmup_epochs = 0;
  int64_t warmup_steps = 0;
  int64_t warmup_every = 1;

  static void fields(auto& self, auto&& visit) {
    visit("warmup_epochs", self.warmup_epochs, config::non_negative, "Epochs of linear rise from 0 to lr.");
    visit("warmup_steps", self.warmup_steps, config::non_negative,
          "The same in steps; above 0 it replaces warmup_epochs.");
    visit("warmup_every", self.warmup_every, config::at_least(1),
          "Above 1 the rise is a staircase: lr times the share of the warm-up done, set anew after so many steps.");
  }
};

/// Steps of a warm-up. \throws UserError when the run is shorter.
int64_t warmup_length(int64_t warmup_epochs, int64_t warmup_steps, const ScheduleSpan& span);

/// The first steps of a run, w of them. Rise at step k: k / (w - 1), so that both ends are there (spec/image.md section
/// 9); as a staircase k / w at every `warmup_every`-th step, held in between (spec/audio.md section 6.2).
class Warmup {
 public:
  Warmup(const WarmupConfig& config, const ScheduleSpan& span)
      : length_(warmup_length(config.warmup_epochs, config.warmup_steps, span)), every_(config.warmup_every) {}

  int64_t length() const { return length_; }
  bool is_on(int64_t step) const { return step < length_; }

  /// Share of the learning rate, while the warm-up is on.
  double rise(int64_t step) const;

 private:
  int64_t length_;
  int64_t every_;
};

}  // namespace unireplk::train
