#pragma once

#include "unireplk/config/constraints.h"
#include "unireplk/train/stagnation.h"

namespace unireplk::train {

/// `early_stop:` of a config.
struct EarlyStopConfig {
  int64_t patience = 10;
  double min_delta = 0;

  static void fields(auto& self, auto&& visit) {
    visit("patience", self.patience, config::at_least(1),
          "Validations in a row without a better primary metric after which the run ends.");
    visit("min_delta", self.min_delta, config::non_negative, "By how much a better one differs from the best.");
  }
};

/// Ends a run when the primary metric of the validation data does not get better.
class EarlyStop : public Stateful {
 public:
  explicit EarlyStop(const EarlyStopConfig& config)
      : patience_(config.patience), stagnation_({.absolute = config.min_delta}) {}

  void consider(const tasks::Metric& primary) { stagnation_.consider(primary); }
  bool is_over() const { return stagnation_.count() >= patience_; }

  void save(StateWriter& writer) const override { stagnation_.save(writer); }
  void load(const StateReader& reader) override { stagnation_.load(reader); }

 private:
  int64_t patience_;
  Stagnation stagnation_;
};

}  // namespace unireplk::train
