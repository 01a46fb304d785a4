#pragma once

#include <memory>

#include "unireplk/data/pipeline.h"
#include "unireplk/data/source.h"

namespace unireplk::data {

/// A source seen through a pipeline.
struct Dataset {
  std::shared_ptr<const Source> source;
  std::shared_ptr<const Pipeline> pipeline;
  DataInfo info;  ///< pipeline->describe(source->info())

  int64_t size() const { return source->size(); }

  /// Samples of item `index`, under its key and the view of the draw.
  Result<std::vector<Sample>> samples(int64_t index, const Draw& draw) const;
};

/// \throws ContractError when either is null.
Dataset make_dataset(std::shared_ptr<const Source> source, std::shared_ptr<const Pipeline> pipeline);

/// Stack samples to a batch as `info` says. Fields that the first sample lacks are left out: a photo to predict has no
/// label. \throws ContractError as collate does.
Batch make_batch(std::vector<Sample> samples, const DataInfo& info);

}  // namespace unireplk::data
