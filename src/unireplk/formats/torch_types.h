#pragma once

#include <optional>
#include <string_view>

#include "unireplk/formats/dtype.h"

/// What PyTorch calls types of numbers in its files.
namespace unireplk::formats {

/// "torch.FloatStorage"; empty for types that came after those classes (uint16, float8, ...), which lie in an
/// "torch.storage.UntypedStorage".
std::string_view torch_storage_class(DType dtype);
std::optional<DType> torch_storage_dtype(std::string_view storage_class);

/// "torch.float32".
std::string_view torch_dtype_name(DType dtype);
std::optional<DType> torch_dtype_named(std::string_view name);

}  // namespace unireplk::formats
