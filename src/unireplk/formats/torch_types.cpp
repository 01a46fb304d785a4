#include "unireplk/formats/torch_types.h"

#include <algorithm>
#include <array>

namespace unireplk::formats {
namespace {

struct TorchType {
  DType dtype;
  std::string_view storage_class;
  std::string_view name;
};

constexpr std::array<TorchType, 15> kTorchTypes{{
    {DType::kBool, "torch.BoolStorage", "torch.bool"},
    {DType::kU8, "torch.ByteStorage", "torch.uint8"},
    {DType::kI8, "torch.CharStorage", "torch.int8"},
    {DType::kU16, "", "torch.uint16"},
    {DType::kI16, "torch.ShortStorage", "torch.int16"},
    {DType::kU32, "", "torch.uint32"},
    {DType::kI32, "torch.IntStorage", "torch.int32"},
    {DType::kU64, "", "torch.uint64"},
    {DType::kI64, "torch.LongStorage", "torch.int64"},
    {DType::kF8E4M3, "", "torch.float8_e4m3fn"},
    {DType::kF8E5M2, "", "torch.float8_e5m2"},
    {DType::kF16, "torch.HalfStorage", "torch.float16"},
    {DType::kBF16, "torch.BFloat16Storage", "torch.bfloat16"},
    {DType::kF32, "torch.FloatStorage", "torch.float32"},
    {DType::kF64, "torch.DoubleStorage", "torch.float64"},
}};

template <class Member>
std::optional<DType> dtype_where(Member member, std::string_view text) {
  const auto found = std::ranges::find(kTorchTypes, text, member);
  if (found == kTorchTypes.end() || text.empty()) return std::nullopt;
  return found->dtype;
}

}  // namespace

std::string_view torch_storage_class(DType dtype) {
  return std::ranges::find(kTorchTypes, dtype, &TorchType::dtype)->storage_class;
}

std::optional<DType> torch_storage_dtype(std::string_view storage_class) {
  return dtype_where(&TorchType::storage_class, storage_class);
}

std::string_view torch_dtype_name(DType dtype) {
  return std::ranges::find(kTorchTypes, dtype, &TorchType::dtype)->name;
}

std::optional<DType> torch_dtype_named(std::string_view name) { return dtype_where(&TorchType::name, name); }

}  // namespace unireplk::formats
