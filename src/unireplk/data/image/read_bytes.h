#pragma once

#include <filesystem>

#include "unireplk/core/result.h"
#include "unireplk/data/source.h"

namespace unireplk::data::image {

/// The content of an image file, at most 1 GiB; a problem that names it when it cannot be read.
Result<EncodedBytes> read_bytes(const std::filesystem::path& file);

}  // namespace unireplk::data::image
