#pragma once

#include <optional>

#include "unireplk/core/clock.h"
#include "unireplk/core/progress.h"
#include "unireplk/data/loader.h"
#include "unireplk/train/observer.h"
#include "unireplk/train/run_clock.h"

namespace unireplk::train {

/// Shows on stderr how far a run is: steps, time left, epoch, loss, samples a second, share of time spent waiting for
/// data; and one line of log for each validation and the test.
class ProgressObserver : public Observer {
 public:
  /// Both must outlive the observer.
  ProgressObserver(const RunClock& clock, const data::Loader& loader) : clock_(clock), loader_(loader) {}

  void on_steps(std::span<const StepRecord> records) override;
  void on_validation(const ValidationRecord& record) override { tell("", record); }
  void on_test(const ValidationRecord& record) override { tell("test of ", record); }

  /// Percent of the time since the first reading that training has waited for data.
  double percent_waited() const;

 private:
  void start(int64_t first_step);
  static void tell(const char* what, const ValidationRecord& record);
  std::string text(const StepRecord& last) const;

  const RunClock& clock_;
  const data::Loader& loader_;
  std::optional<Progress> bar_;  ///< from the first reading on, so that a resumed run shows its own speed
  int64_t first_samples_ = 0;
  double waited_before_ = 0;
  Stopwatch since_start_;
};

}  // namespace unireplk::train
