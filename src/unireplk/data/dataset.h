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

  /// Samples of item `index`.
  Result<std::vector<Sample>> samples(int64_t index, const Draw& draw) const;
};

Dataset make_dataset(std::shared_ptr<const Source> source, std::shared_ptr<const Pipeline> pipeline);

}  // namespace unireplk::data
