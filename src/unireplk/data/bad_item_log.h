#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "unireplk/data/batch_job.h"
#include "unireplk/data/loader.h"

namespace unireplk::data {

/// Keeps account of unreadable items: names the first of them in the log, each once, counts, and says when there are
/// too many.
class BadItemLog {
 public:
  BadItemLog(Mode mode, double max_fraction) : mode_(mode), max_fraction_(max_fraction) {}

  /// \param samples  that this epoch asks this process for.
  void start_epoch(int64_t samples);

  /// One place of a batch has been read. \throws UserError when training meets more bad items than allowed.
  void add(const std::vector<BadItem>& bad);

  /// \throws UserError when nothing of the epoch could be read.
  void finish_epoch() const;

  const BadSamples& total() const { return total_; }

 private:
  void throw_too_many() const;

  Mode mode_;
  double max_fraction_;
  std::set<int64_t> named_;  // in the whole run
  std::set<int64_t> of_epoch_;
  std::vector<std::string> examples_;  // of the epoch
  int64_t epoch_samples_ = 0;
  int64_t epoch_seen_ = 0;
  BadSamples total_;
};

}  // namespace unireplk::data
