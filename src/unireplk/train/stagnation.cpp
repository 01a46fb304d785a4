#include "unireplk/train/stagnation.h"

#include <cmath>

namespace unireplk::train {

bool Stagnation::is_better(const tasks::Metric& primary) const {
  if (!std::isfinite(primary.value)) return false;
  if (!has_best_) return true;
  const double margin = margin_.absolute + margin_.relative * best_;
  return primary.higher_is_better ? primary.value > best_ + margin : primary.value < best_ - margin;
}

void Stagnation::consider(const tasks::Metric& primary) {
  ++count_;
  if (!is_better(primary)) return;
  has_best_ = true;
  best_ = primary.value;
  count_ = 0;
}

void Stagnation::save(StateWriter& writer) const {
  writer.integer("has_best", has_best_);
  writer.number("best", best_);
  writer.integer("count", count_);
}

void Stagnation::load(const StateReader& reader) {
  has_best_ = reader.integer("has_best") != 0;
  best_ = reader.number("best");
  count_ = reader.integer("count");
}

}  // namespace unireplk::train
