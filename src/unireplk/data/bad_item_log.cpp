#include "unireplk/data/bad_item_log.h"

#include "unireplk/core/log.h"

namespace unireplk::data {
namespace {

constexpr size_t kExamples = 5;
constexpr size_t kMostNamed = 20;  // of a run; a folder of a million broken files must not fill the log

}  // namespace

void BadItemLog::start_epoch(int64_t samples) {
  of_epoch_.clear();
  total_ = {};
  examples_.clear();
  epoch_samples_ = samples;
  epoch_seen_ = 0;
}

void BadItemLog::add(const std::vector<BadItem>& bad) {
  ++total_.total;
  ++epoch_seen_;
  for (const auto& [item, problem] : bad) {
    if (!of_epoch_.insert(item).second) continue;
    ++total_.count;
    const std::string text = problem.text();
    if (total_.first.empty()) total_.first = text;
    if (examples_.size() < kExamples) examples_.push_back(text);
    if (named_.size() < kMostNamed && named_.insert(item).second) {
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

void BadItemLog::throw_too_many() const {
  throw UserError({"data.loader.max_bad_fraction",
                   format("{} of the {} samples of this epoch cannot be read, more than {} allows, first:\n  {}",
                          of_epoch_.size(), epoch_samples_, max_fraction_, fmt::join(examples_, "\n  ")),
                   "\nMend or remove these files, or raise max_bad_fraction."});
}

}  // namespace unireplk::data
