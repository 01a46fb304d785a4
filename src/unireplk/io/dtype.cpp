#include "unireplk/io/dtype.h"

#include <array>
#include <utility>

namespace unireplk::io {
namespace {

using formats::DType;

constexpr std::array<std::pair<DType, at::ScalarType>, 15> kPairs{{
    {DType::kBool, at::ScalarType::Bool},
    {DType::kU8, at::ScalarType::Byte},
    {DType::kI8, at::ScalarType::Char},
    {DType::kU16, at::ScalarType::UInt16},
    {DType::kI16, at::ScalarType::Short},
    {DType::kU32, at::ScalarType::UInt32},
    {DType::kI32, at::ScalarType::Int},
    {DType::kU64, at::ScalarType::UInt64},
    {DType::kI64, at::ScalarType::Long},
    {DType::kF8E4M3, at::ScalarType::Float8_e4m3fn},
    {DType::kF8E5M2, at::ScalarType::Float8_e5m2},
    {DType::kF16, at::ScalarType::Half},
    {DType::kBF16, at::ScalarType::BFloat16},
    {DType::kF32, at::ScalarType::Float},
    {DType::kF64, at::ScalarType::Double},
}};

}  // namespace

at::ScalarType scalar_type_of(DType dtype) {
  for (const auto& [file_type, type] : kPairs) {
    if (file_type == dtype) return type;
  }
  return at::ScalarType::Undefined;
}

std::optional<DType> dtype_of(at::ScalarType type) {
  for (const auto& [dtype, scalar_type] : kPairs) {
    if (scalar_type == type) return dtype;
  }
  return std::nullopt;
}

}  // namespace unireplk::io
