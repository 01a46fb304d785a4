#pragma once

#include <filesystem>
#include <string>

#include "unireplk/runner/experiment.h"

namespace unireplk::runner {

/// Check that a run may go on under `config`: only keys that leave its course as it is may differ from the config it
/// was started with (device, threads, workers, what is saved and logged; docs/config.md lists them).
/// \param earlier  text of the run's config.yaml.
/// \throws UserError naming every key that may not change.
void check_resumable(const std::string& earlier, const ExperimentConfig& config, const config::Registries& registries,
                     const std::filesystem::path& run_folder);

}  // namespace unireplk::runner
