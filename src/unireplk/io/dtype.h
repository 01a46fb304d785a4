#pragma once

#include <c10/core/ScalarType.h>

#include <optional>

#include "unireplk/formats/dtype.h"

namespace unireplk::io {

/// The LibTorch type of a file's numbers.
at::ScalarType scalar_type_of(formats::DType dtype);

/// The other way; nothing for types that no file here holds (complex, quantised).
std::optional<formats::DType> dtype_of(at::ScalarType type);

}  // namespace unireplk::io
