#pragma once

#include <cstdint>
#include <filesystem>

#include "unireplk/core/result.h"
#include "unireplk/data/source.h"

namespace unireplk::data::image {

/// Of one image as it lies on disk; more is a mistake or an attack.
inline constexpr int64_t kMaxImageFileBytes = int64_t{1} << 30;

/// The content of an image file; a problem that names it when it cannot be read.
Result<EncodedBytes> read_bytes(const std::filesystem::path& file);

}  // namespace unireplk::data::image
