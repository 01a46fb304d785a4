#pragma once

#include <cstdint>
#include <filesystem>

#include "unireplk/core/result.h"
#include "unireplk/data/source.h"

namespace unireplk::data {

/// Of one sample as it lies on disk; more is a mistake or an attack.
inline constexpr int64_t kMaxSampleFileBytes = int64_t{1} << 30;

/// The content of a sample's file; a problem that names it when it cannot be read.
Result<EncodedBytes> read_bytes(const std::filesystem::path& file);

}  // namespace unireplk::data
