#include "unireplk/data/batch_job.h"

#include <algorithm>
#include <utility>

namespace unireplk::data {
namespace {

Slot read_slot(const SlotReader& reader, int64_t item, int64_t epoch) {
  const bool is_padding = item < 0;
  const int64_t size = reader.dataset.size();
  const int64_t tries = is_padding || reader.mode == Mode::kTrain ? std::min(reader.max_tries, size) : 1;
  Slot slot;
  for (int64_t i = 0; i < tries; ++i) {
    const int64_t index = (std::max<int64_t>(item, 0) + i) % size;
    auto samples = reader.dataset.samples(index, {.seed = reader.seed, .epoch = epoch, .item = index});
    if (samples) {
      slot.samples = std::move(samples).value();
      for (auto& sample : slot.samples) sample.key.padding = is_padding;
      break;
    }
    if (!is_padding) slot.bad.push_back({index, samples.problem()});
  }
  return slot;
}

}  // namespace

Slot SlotReader::read(int64_t item, int64_t epoch) const {
  try {
    return read_slot(*this, item, epoch);
  } catch (...) {
    Slot slot;
    slot.error = std::current_exception();
    return slot;
  }
}

}  // namespace unireplk::data
