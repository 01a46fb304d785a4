#pragma once

#include <vector>

#include "unireplk/train/observer.h"
#include "unireplk/train/step_values.h"

namespace unireplk::train {

/// Values of steps that still lie on the device, so that no step waits for them.
class StepLog {
 public:
  struct Pending {
    StepRecord record;  ///< without the values
    StepValues values;
  };

  void add(Pending pending) { pending_.push_back(std::move(pending)); }
  int64_t size() const { return static_cast<int64_t>(pending_.size()); }

  /// Read everything in one transfer, in order, and forget it.
  std::vector<StepRecord> take();

 private:
  std::vector<Pending> pending_;
};

}  // namespace unireplk::train
