#pragma once

#include <filesystem>
#include <optional>

#include "unireplk/tensor/sample.h"

namespace unireplk::runner {

/// Keep what a run knows of its data (fields, classes, constants) in its folder, as data.safetensors: what its weights
/// mean does not depend on data that may be gone.
void write_run_data(const std::filesystem::path& run, const DataInfo& info);

/// What a run knows of its data; nothing when it was started before that was kept. \throws UserError when damaged.
std::optional<DataInfo> read_run_data(const std::filesystem::path& run);

}  // namespace unireplk::runner
