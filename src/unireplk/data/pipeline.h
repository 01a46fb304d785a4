#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/core/result.h"
#include "unireplk/core/rng.h"
#include "unireplk/data/source.h"

namespace unireplk::data {

enum class Mode { kTrain, kEvaluation };

/// Hears the name of each stage of a sample when it ends, on the thread of apply().
using StageObserver = std::function<void(const std::string& stage)>;

/// From a record to samples: decode, augment, to tensors. Built from its config and a DataInfo alone, so that a
/// deploy file can carry it.
class Pipeline {
 public:
  virtual ~Pipeline() = default;

  /// A pure function of its arguments, thread-safe. Several samples: copies or views of one item.
  virtual Result<std::vector<Sample>> apply(const Record& record, const Draw& draw) const = 0;

  /// Another of the source's items that apply() wants as the record's partner; a pure function of its arguments.
  virtual std::optional<int64_t> partner(const Draw& /*draw*/, int64_t /*items*/) const { return std::nullopt; }

  /// `source` with the fields and constants this pipeline adds.
  virtual DataInfo describe(DataInfo source) const = 0;

  /// For measurements: tell the stages of every sample from now on; not while apply() runs. What has no stages tells
  /// nothing.
  virtual void observe_stages(StageObserver /*observer*/) {}
};

}  // namespace unireplk::data
