#include "unireplk/train/stagnation.h"

#include "unireplk/train/best_metric.h"

namespace unireplk::train {

void Stagnation::consider(const tasks::Metric& primary) {
  ++count_;
  const double margin = margin_.absolute + margin_.relative * best_;
  if (!is_better(primary, has_best_ ? std::optional(best_) : std::nullopt, margin)) return;
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
