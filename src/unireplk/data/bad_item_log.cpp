#include "unireplk/data/bad_item_log.h"

#include <ATen/ops/tensor.h>

#include "unireplk/core/log.h"

namespace unireplk::data {
namespace {

constexpr size_t kExamples = 5;
constexpr size_t kMostNamed = 20;  // of a run; a folder of a million broken files must not fill the log

}  // namespace

void BadItemLog::start_epoch(int64_t epoch, int64_t before, int64_t samples) {
  if (before == 0 || epoch != epoch_) {
    of_epoch_.clear();
    examples_.clear();
  }
  epoch_ = epoch;
  epoch_seen_ = before;
  epoch_samples_ = samples;
}

void BadItemLog::add(const std::vector<BadItem>& bad) {
  ++epoch_seen_;
  for (const auto& [key, problem] : bad) {
    if (!of_epoch_.insert(key.item + key.view * items_).second) continue;
    const std::string text = problem.text();
    if (examples_.size() < kExamples) examples_.push_back(text);
    if (named_.size() < kMostNamed && named_.insert(key.item).second) {
      log_warning("{} ({})", text, mode_ == Mode::kTrain ? "the next sample stands in" : "left out");
      if (named_.size() == kMostNamed) log_warning("more samples that cannot be read are counted, not named");
    }
  }
  const auto count = static_cast<double>(of_epoch_.size());
  if (mode_ == Mode::kTrain && count > max_fraction_ * static_cast<double>(epoch_samples_)) throw_too_many();
}

void BadItemLog::finish_epoch() const {
  const auto count = static_cast<int64_t>(of_epoch_.size());
  if (count == 0 || count < epoch_seen_) return;
  throw UserError(
      {"data", format("none of {} samples can be read, first:\n  {}", epoch_seen_, fmt::join(examples_, "\n  ")), ""});
}

BadSamples BadItemLog::total() const {
  return {.count = static_cast<int64_t>(of_epoch_.size()),
          .total = epoch_seen_,
          .first = examples_.empty() ? "" : examples_.front()};
}

void BadItemLog::save(StateWriter& writer) const {
  writer.integer("epoch", epoch_);
  writer.integer("samples_seen", epoch_seen_);
  writer.tensor("bad_items", at::tensor(std::vector<int64_t>(of_epoch_.begin(), of_epoch_.end()), at::kLong));
}

void BadItemLog::load(const StateReader& reader) {
  epoch_ = reader.integer("epoch");
  epoch_seen_ = reader.integer("samples_seen");
  const at::Tensor items = reader.tensor("bad_items").to(at::kLong).contiguous();
  of_epoch_ = {items.const_data_ptr<int64_t>(), items.const_data_ptr<int64_t>() + items.numel()};
  examples_.clear();
}

void BadItemLog::throw_too_many() const {
  throw UserError({"data.loader.max_bad_fraction",
                   format("{} of the {} samples of this epoch cannot be read, more than {} allows, first:\n  {}",
                          of_epoch_.size(), epoch_samples_, max_fraction_, fmt::join(examples_, "\n  ")),
                   "\nMend or remove these files, or raise max_bad_fraction."});
}

}  // namespace unireplk::data
