#pragma once

#include <memory>

#include "unireplk/config/registry.h"
#include "unireplk/data/pipeline.h"

namespace unireplk::data::time_series {

/// `name: windows`: it has no keys, for the source says how windows are cut.
using WindowPipelineConfig = config::Empty;

/// A window as the source cut it. A CSV file, as `predict` gives it, becomes its last window, with the scaling and the
/// channels (found by their names) of `info`, and the stamps that come next.
///
/// \throws UserError when the source has no windows.
std::unique_ptr<Pipeline> make_window_pipeline(const DataInfo& info);

}  // namespace unireplk::data::time_series
