#pragma once

#include <algorithm>
#include <cstdint>

#include "unireplk/tensor/state.h"

namespace unireplk::train {

/// How long a run is, in optimizer steps.
struct RunLength {
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;

  int64_t epochs() const { return (total_steps + steps_per_epoch - 1) / steps_per_epoch; }
};

/// Where a run stands. An epoch is left by end_epoch() alone, so a run that was stopped between the last step of an
/// epoch and its validation goes on with the validation.
class RunClock : public Stateful {
 public:
  explicit RunClock(const RunLength& length) : length_(length) {}

  const RunLength& length() const { return length_; }
  int64_t step() const { return step_; }                    ///< optimizer steps done
  int64_t epoch() const { return epoch_; }                  ///< from 0
  int64_t step_in_epoch() const { return step_in_epoch_; }  ///< steps done in this epoch
  int64_t samples() const { return samples_; }              ///< training samples seen

  /// Epoch, from 0, of the step that is number `step` from 1.
  int64_t epoch_of(int64_t step) const { return std::max<int64_t>(step - 1, 0) / length_.steps_per_epoch; }

  bool finished() const { return step_ >= length_.total_steps; }
  bool epoch_is_done() const { return step_in_epoch_ >= length_.steps_per_epoch; }

  /// True at the end of every n-th epoch and of the run, until mark_validated().
  bool validation_due(int64_t every_epochs) const;

  void count_step(int64_t samples);
  void mark_validated() { validated_step_ = step_; }
  void end_epoch();  ///< does nothing within an epoch

  void save(StateWriter& writer) const override;

  /// \throws UserError when the epochs of the checkpoint have another number of steps.
  void load(const StateReader& reader) override;

 private:
  RunLength length_;
  int64_t step_ = 0;
  int64_t epoch_ = 0;
  int64_t step_in_epoch_ = 0;
  int64_t samples_ = 0;
  int64_t validated_step_ = 0;
};

}  // namespace unireplk::train
