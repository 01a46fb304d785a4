#include "unireplk/train/run_clock.h"

#include "unireplk/core/error.h"

namespace unireplk::train {

bool RunClock::validation_due(int64_t every_epochs) const {
  if (validated_step_ == step_) return false;
  return finished() || (epoch_is_done() && (epoch_ + 1) % every_epochs == 0);
}

void RunClock::count_step(int64_t samples) {
  ++step_;
  ++step_in_epoch_;
  samples_ += samples;
}

void RunClock::end_epoch() {
  if (!epoch_is_done()) return;
  ++epoch_;
  step_in_epoch_ = 0;
}

void RunClock::save(StateWriter& writer) const {
  writer.integer("step", step_);
  writer.integer("epoch", epoch_);
  writer.integer("step_in_epoch", step_in_epoch_);
  writer.integer("steps_per_epoch", length_.steps_per_epoch);
  writer.integer("samples", samples_);
  writer.integer("validated_step", validated_step_);
}

void RunClock::load(const StateReader& reader) {
  const int64_t steps_per_epoch = reader.integer("steps_per_epoch");
  if (steps_per_epoch != length_.steps_per_epoch) {
    throw UserError({"resume", format("an epoch had {} steps, now it has {}", steps_per_epoch, length_.steps_per_epoch),
                     "Keep the training data, batch_size and accumulate_steps of a run that is resumed."});
  }
  step_ = reader.integer("step");
  epoch_ = reader.integer("epoch");
  step_in_epoch_ = reader.integer("step_in_epoch");
  samples_ = reader.integer("samples");
  validated_step_ = reader.integer("validated_step");
}

}  // namespace unireplk::train
