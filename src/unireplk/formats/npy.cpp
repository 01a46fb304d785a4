#include "unireplk/formats/npy.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/npy_header.h"

namespace unireplk::formats {
namespace {

std::optional<DType> dtype_of_descr(std::string_view code) {
  constexpr std::pair<std::string_view, DType> kCodes[] = {
      {"b1", DType::kBool}, {"u1", DType::kU8},  {"i1", DType::kI8},  {"u2", DType::kU16},
      {"i2", DType::kI16},  {"u4", DType::kU32}, {"i4", DType::kI32}, {"u8", DType::kU64},
      {"i8", DType::kI64},  {"f2", DType::kF16}, {"f4", DType::kF32}, {"f8", DType::kF64}};
  for (const auto& [known, dtype] : kCodes) {
    if (known == code) return dtype;
  }
  return std::nullopt;
}

struct NumberType {
  DType dtype = DType::kU8;
  bool big_endian = false;
};

NumberType number_type(std::string_view text) {
  const char order = text.empty() ? '\0' : text.front();
  const auto dtype = text.size() == 3 ? dtype_of_descr(text.substr(1)) : std::nullopt;
  if (!dtype || std::string_view("<>=|").find(order) == std::string_view::npos) {
    throw NpyRefusal{format("expected booleans, integers or floats, got numpy type \"{}\"", text)};
  }
  return {.dtype = *dtype, .big_endian = order == '>'};
}

/// Column-major to row-major.
std::vector<std::byte> reordered(std::span<const std::byte> data, std::span<const int64_t> shape, size_t element) {
  std::vector<std::byte> out(data.size());
  std::array<size_t, kMaxNpyRank> strides{};  // of the source, in bytes
  size_t stride = element;
  for (size_t d = 0; d < shape.size(); ++d) {
    strides[d] = stride;
    stride *= static_cast<size_t>(shape[d]);
  }
  std::array<int64_t, kMaxNpyRank> index{};
  size_t from = 0;
  for (size_t to = 0; to < out.size(); to += element) {
    std::memcpy(out.data() + to, data.data() + from, element);
    for (size_t d = shape.size(); d-- > 0;) {  // count the index up, the last dimension fastest
      from += strides[d];
      if (++index[d] < shape[d]) break;
      from -= strides[d] * static_cast<size_t>(shape[d]);
      index[d] = 0;
    }
  }
  return out;
}

/// An array as its file has it.
struct NpyArray {
  NumberType type;
  bool is_column_major = false;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
};

NpyArray checked_array(std::span<const std::byte> file) {
  NpyHeader header = parse_npy_header(file);
  const auto type = number_type(header.type);
  const auto dtype = type.dtype;
  const auto data = file.subspan(header.data_begin);
  const auto bytes = dense_bytes(dtype, header.shape);
  if (!bytes || std::cmp_not_equal(*bytes, data.size())) {
    throw NpyRefusal{format("expected {} bytes of data for shape ({}), got {}",
                            bytes ? std::to_string(*bytes) : "more than 2^63", fmt::join(header.shape, ", "),
                            data.size())};
  }
  if (dtype == DType::kBool && !std::ranges::all_of(data, [](std::byte b) { return b <= std::byte{1}; })) {
    throw NpyRefusal{"expected booleans to be 0 or 1"};
  }
  const bool is_column_major = header.fortran_order && header.shape.size() > 1;
  return {.type = type, .is_column_major = is_column_major, .shape = std::move(header.shape), .data = data};
}

OwnedTensor copied(NpyArray array) {
  const auto element = size_in_bytes(array.type.dtype);
  OwnedTensor out{.dtype = array.type.dtype, .shape = std::move(array.shape), .bytes = {}};
  if (array.is_column_major) {
    out.bytes = reordered(array.data, out.shape, static_cast<size_t>(element));
  } else {
    out.bytes.assign(array.data.begin(), array.data.end());
  }
  if (array.type.big_endian) swap_byte_order(out.bytes, element);
  return out;
}

/// The byte order of one byte is nobody's.
bool can_stay(const NpyArray& array) {
  const auto element = static_cast<size_t>(size_in_bytes(array.type.dtype));
  const bool is_aligned = reinterpret_cast<uintptr_t>(array.data.data()) % element == 0;
  return !array.data.empty() && is_aligned && !array.is_column_major && (!array.type.big_endian || element == 1);
}

}  // namespace

Result<OwnedTensor> parse_npy(std::span<const std::byte> file, const std::string& place) {
  try {
    return copied(checked_array(file));
  } catch (const NpyRefusal& refusal) {
    return Problem{.place = place, .message = refusal.message, .cure = ""};
  }
}

std::optional<TensorView> view_npy(std::span<const std::byte> file) {
  try {
    auto array = checked_array(file);
    if (!can_stay(array)) return std::nullopt;
    return TensorView{.dtype = array.type.dtype, .shape = std::move(array.shape), .bytes = array.data};
  } catch (const NpyRefusal&) {
    return std::nullopt;
  }
}

}  // namespace unireplk::formats
