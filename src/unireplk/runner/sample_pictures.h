#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "unireplk/runner/experiment.h"

namespace unireplk::runner {

/// Files that show the first samples of a training as the network sees them: augmented, erased and mixed.
struct SamplePictures {
  int64_t count = 0;                          ///< samples shown
  std::vector<std::filesystem::path> images;  ///< a grid of pictures for each map of a sample, named after its field
  std::filesystem::path text;                 ///< a line for each sample: what it is and where it comes from
};

/// The network whose embedding is shown, for these data.
using NetworkOf = std::function<models::AnyNetwork(const DataInfo& info, const Context& context)>;

/// Write them into a folder, which is made where it is missing; files of these names are replaced. Of windows over time
/// the maps are shown that the network makes of them, `embedding.png`: of each window those of the first groups of
/// channels, side by side.
/// \throws UserError when the data cannot be read, hold no map, or a file cannot be written.
SamplePictures write_samples(const ExperimentConfig& config, const NetworkOf& network_of,
                             const std::filesystem::path& folder, int64_t count);

}  // namespace unireplk::runner
