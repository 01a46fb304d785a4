#pragma once

#include <cstdint>
#include <exception>
#include <vector>

#include "unireplk/data/dataset.h"

namespace unireplk::data {

/// An item that could not be read.
struct BadItem {
  int64_t item = 0;
  Problem problem;
};

/// What one place of a batch became.
struct Slot {
  std::vector<Sample> samples;  ///< several: copies or views; none: left out
  std::vector<BadItem> bad;     ///< items tried before, in order
  std::exception_ptr error;
};

/// How the places of a batch are filled: a pure function of item and epoch.
struct SlotReader {
  const Dataset& dataset;
  Mode mode = Mode::kTrain;
  uint64_t seed = 0;
  int64_t max_tries = 1;  ///< items tried for one place before it is given up

  /// \param item  -1: padding. Exceptions end in Slot::error.
  Slot read(int64_t item, int64_t epoch) const;
};

/// A batch in the making. Each slot is written by the one worker that took it.
struct BatchJob {
  int64_t epoch = 0;
  std::vector<int64_t> items;
  std::vector<Slot> slots;
  size_t taken = 0;
  size_t finished = 0;

  bool has_work() const { return taken < items.size(); }
  bool is_ready() const { return finished == items.size(); }
};

}  // namespace unireplk::data
