#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "unireplk/core/result.h"
#include "unireplk/formats/dtype.h"

namespace unireplk::formats {

/// Parse a NumPy .npy file, version 1 to 3: booleans, integers and floats of either byte order, C or Fortran
/// order. The result is row-major in this machine's byte order.
///
/// Refused with a reason: strings, objects, records, complex numbers, more than 32 dimensions, bytes that are
/// missing or left over. \param place  the file, named in problems.
Result<OwnedTensor> parse_npy(std::span<const std::byte> file, const std::string& place);

}  // namespace unireplk::formats
