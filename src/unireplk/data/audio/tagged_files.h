#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "unireplk/data/source.h"

namespace unireplk::data::audio {

struct TaggedFile {
  std::string file;  ///< below the root, or absolute
  std::vector<int64_t> labels;
};

/// Sounds, each a file of its own with any number of classes. Payload: EncodedBytes; target: `target`, float32
/// [classes], 1 for each of its classes. \param files  their labels are indices into `classes`.
std::unique_ptr<Source> tagged_files(std::filesystem::path root, std::vector<std::string> classes,
                                     std::vector<TaggedFile> files);

}  // namespace unireplk::data::audio
