#pragma once

#include <cstddef>
#include <optional>
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

/// The same array as it lies in `file`, where no byte has to move: row-major, in this machine's byte order, aligned to
/// its elements, and not empty. \return a view of `file`; nothing where it does, and of what parse_npy() refuses.
std::optional<TensorView> view_npy(std::span<const std::byte> file);

}  // namespace unireplk::formats
