#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "unireplk/data/source.h"

namespace unireplk::data {

struct LabelledFile {
  std::string file;  ///< below the root, or absolute
  int64_t label = 0;
};

/// Samples, each a file of its own, whose classes are known: what every source comes to that finds or lists files.
/// Payload: EncodedBytes. \param files  their labels are indices into `classes`.
std::unique_ptr<Source> labelled_files(std::filesystem::path root, std::vector<std::string> classes,
                                       std::vector<LabelledFile> files);

}  // namespace unireplk::data
