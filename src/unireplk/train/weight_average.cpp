#include "unireplk/train/weight_average.h"

#include <ATen/ops/scalar_tensor.h>

namespace unireplk::train {

void WeightAverage::end_epoch(int64_t epoch) {
  if (epoch < config_.from_epoch || (config_.to_epoch && epoch > *config_.to_epoch)) return;
  ++count_;
  mix_in(at::scalar_tensor(1.0 / static_cast<double>(count_), at::kDouble));
}

void WeightAverage::save(StateWriter& writer) const {
  writer.integer("epochs_taken_in", count_);
  if (count_ > 0) Averages::save(writer);
}

void WeightAverage::load(const StateReader& reader) {
  count_ = reader.integer("epochs_taken_in");
  if (count_ > 0) Averages::load(reader);
}

}  // namespace unireplk::train
