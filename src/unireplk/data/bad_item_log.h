#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "unireplk/data/batch_job.h"
#include "unireplk/data/loader.h"
#include "unireplk/tensor/state.h"

namespace unireplk::data {

/// Keeps account of unreadable samples: names the first items of them in the log, each once, counts, and says when
/// there are too many. Its state is what the epoch has met so far.
class BadItemLog : public Stateful {
 public:
  /// \param items  of the data set.
  BadItemLog(Mode mode, int64_t items, double max_fraction) : mode_(mode), items_(items), max_fraction_(max_fraction) {}

  /// Forget the epoch before; in the middle of an epoch what load() has given back of that epoch stays.
  /// \param before   samples of the epoch that this process has been asked for.
  /// \param samples  that this epoch asks this process for.
  void start_epoch(int64_t epoch, int64_t before, int64_t samples);

  /// One place of a batch has been read. \throws UserError when training meets more bad samples than allowed.
  void add(const std::vector<BadItem>& bad);

  /// \throws UserError when nothing of the epoch could be read.
  void finish_epoch() const;

  BadSamples total() const;

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  void throw_too_many() const;

  Mode mode_;
  int64_t items_;
  double max_fraction_;
  std::set<int64_t> named_;  // by this process
  int64_t epoch_ = -1;
  std::set<int64_t> of_epoch_;         // numbers of samples: item + view * items_
  std::vector<std::string> examples_;  // of the epoch, as far as this process has met them
  int64_t epoch_samples_ = 0;
  int64_t epoch_seen_ = 0;
};

}  // namespace unireplk::data
