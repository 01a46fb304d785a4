#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "unireplk/core/result.h"
#include "unireplk/formats/dtype.h"

namespace unireplk::formats {

/// Parse an IDX file (the format of MNIST): 0, 0, type, rank, rank big-endian uint32 extents, big-endian
/// data.
///
/// \param file   plain or gzip-compressed, told apart by content; rank 1 to 8.
/// \param place  the file, named in problems.
/// \param max_bytes  of data; a larger promise is refused before anything is allocated.
/// Nothing is decompressed beyond the size that the header promises.
Result<OwnedTensor> parse_idx(std::span<const std::byte> file, const std::string& place,
                              int64_t max_bytes = int64_t{1} << 34);

}  // namespace unireplk::formats
