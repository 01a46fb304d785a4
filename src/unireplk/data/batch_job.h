#pragma once

#include <cstdint>
#include <exception>
#include <vector>

#include "unireplk/data/dataset.h"

namespace unireplk::data {

/// A sample that could not be read.
struct BadItem {
  SampleKey key;
  Problem problem;
};

/// What one place of a batch became.
struct Slot {
  std::vector<Sample> samples;  ///< several: copies or views; none: left out
  std::vector<BadItem> bad;     ///< tried before, in order
  std::exception_ptr error;
};

/// How the places of a batch are filled: a pure function of key and epoch.
struct SlotReader {
  const Dataset& dataset;
  Mode mode = Mode::kTrain;
  uint64_t seed = 0;
  int64_t max_tries = 1;  ///< items tried for one place before it is given up

  /// Exceptions end in Slot::error.
  Slot read(SampleKey key, int64_t epoch) const;
};

/// A batch in the making. Each slot is written by the one worker that took it.
struct BatchJob {
  int64_t epoch = 0;
  std::vector<SampleKey> keys;
  std::vector<Slot> slots;
  size_t taken = 0;
  size_t finished = 0;

  bool has_work() const { return taken < keys.size(); }
  bool is_ready() const { return finished == keys.size(); }

  /// Whether a complete batch has samples, and no place of it has failed.
  bool has_samples() const;
};

}  // namespace unireplk::data
