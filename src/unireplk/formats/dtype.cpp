#include "unireplk/formats/dtype.h"

#include <array>
#include <bit>

namespace unireplk::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian and are taken as they lie");

struct Row {
  std::string_view name;
  int64_t bytes;
};

/// By value of DType.
constexpr std::array<Row, 15> kRows{{{"BOOL", 1},
                                     {"U8", 1},
                                     {"I8", 1},
                                     {"U16", 2},
                                     {"I16", 2},
                                     {"U32", 4},
                                     {"I32", 4},
                                     {"U64", 8},
                                     {"I64", 8},
                                     {"F8_E4M3", 1},
                                     {"F8_E5M2", 1},
                                     {"F16", 2},
                                     {"BF16", 2},
                                     {"F32", 4},
                                     {"F64", 8}}};

const Row& row(DType dtype) { return kRows.at(static_cast<size_t>(dtype)); }

}  // namespace

int64_t size_in_bytes(DType dtype) { return row(dtype).bytes; }

std::string_view name_of(DType dtype) { return row(dtype).name; }

std::optional<DType> dtype_named(std::string_view name) {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::optional<int64_t> dense_bytes(DType dtype, std::span<const int64_t> shape) {
  int64_t bytes = size_in_bytes(dtype);
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return bytes;
}

}  // namespace unireplk::formats
