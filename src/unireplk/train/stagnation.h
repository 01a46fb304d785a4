#pragma once

#include "unireplk/tasks/task.h"
#include "unireplk/tensor/state.h"

namespace unireplk::train {

/// Counts validations since the primary metric was best.
class Stagnation : public Stateful {
 public:
  /// By how much a value has to be better than the best before it, beyond equality.
  struct Margin {
    double absolute = 0;
    double relative = 0;  ///< share of the best value
  };

  explicit Stagnation(const Margin& margin) : margin_(margin) {}

  /// Take in the next value; one that is not finite is never better.
  void consider(const tasks::Metric& primary);

  /// Validations since the best, or since forget().
  int64_t count() const { return count_; }

  /// Begin to count anew; the best value stays.
  void forget() { count_ = 0; }

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  Margin margin_;
  bool has_best_ = false;
  double best_ = 0;
  int64_t count_ = 0;
};

}  // namespace unireplk::train
