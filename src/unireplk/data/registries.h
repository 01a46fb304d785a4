#pragma once

#include <memory>

#include "unireplk/data/pipeline.h"
#include "unireplk/data/source.h"

namespace unireplk::data {

/// Products of `name:` keys in the data part of a config.
using SourceSignature = std::unique_ptr<Source>();
using PipelineSignature = std::unique_ptr<Pipeline>(const DataInfo& source, Mode mode);

}  // namespace unireplk::data
