#include "unireplk/data/batch_job.h"

#include <algorithm>
#include <utility>

namespace unireplk::data {
namespace {

Slot read_slot(const SlotReader& reader, SampleKey key, int64_t epoch) {
  const int64_t size = reader.dataset.size();
  const int64_t tries = key.padding || reader.mode == Mode::kTrain ? std::min(reader.max_tries, size) : 1;
  Slot slot;
  for (int64_t i = 0; i < tries; ++i) {
    const int64_t index = (key.item + i) % size;
    const Draw draw{.seed = reader.seed, .epoch = epoch, .item = index, .view = key.view};
    auto samples = reader.dataset.samples(index, draw);
    if (samples) {
      slot.samples = std::move(samples).value();
      for (auto& sample : slot.samples) sample.key.padding = key.padding;
      break;
    }
    if (!key.padding) slot.bad.push_back({{.item = index, .view = key.view}, samples.problem()});
  }
  return slot;
}

}  // namespace

Slot SlotReader::read(SampleKey key, int64_t epoch) const {
  try {
    return read_slot(*this, key, epoch);
  } catch (...) {
    Slot slot;
    slot.error = std::current_exception();
    return slot;
  }
}

bool BatchJob::has_samples() const {
  const bool has_failed = std::ranges::any_of(slots, [](const Slot& slot) { return slot.error != nullptr; });
  return !has_failed && std::ranges::any_of(slots, [](const Slot& slot) { return !slot.samples.empty(); });
}

}  // namespace unireplk::data
