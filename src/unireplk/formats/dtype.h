#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace unireplk::formats {

/// Types of numbers that files hold.
enum class DType { kBool, kU8, kI8, kU16, kI16, kU32, kI32, kU64, kI64, kF8E4M3, kF8E5M2, kF16, kBF16, kF32, kF64 };

int64_t size_in_bytes(DType dtype);

/// The short name that safetensors uses: "BOOL", "U8", "F32", ...
std::string_view name_of(DType dtype);

std::optional<DType> dtype_named(std::string_view name);

/// Bytes of a dense array; nothing when an extent is negative or the product does not fit into int64.
std::optional<int64_t> dense_bytes(DType dtype, std::span<const int64_t> shape);

/// A dense row-major array that somebody else owns. `bytes` need not be aligned to the element.
struct TensorView {
  DType dtype = DType::kU8;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

/// The same with its own bytes, in the byte order of this machine.
struct OwnedTensor {
  DType dtype = DType::kU8;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  TensorView view() const { return {dtype, shape, bytes}; }
};

}  // namespace unireplk::formats
