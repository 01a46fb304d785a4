#include "unireplk/formats/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "unireplk/formats/byte_order.h"

namespace unireplk::formats {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxNpyRank = 32;
constexpr size_t kMaxNpyHeader = 65536;

struct NpyHeader {
  DType dtype = DType::kU8;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  size_t data_begin = 0;
};

struct NpyRefusal {
  std::string message;
};

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

/// Reads the one Python literal that .npy files begin with: a dictionary of descr, fortran_order and shape.
/// Throws NpyRefusal.
class LiteralParser {
 public:
  explicit LiteralParser(std::string_view text) : rest_(text) {}

  void parse(NpyHeader& header) {
    bool seen[3] = {false, false, false};
    expect('{');
    while (!take('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr") {
        parse_type(header), once(seen[0], key);
      } else if (key == "fortran_order") {
        header.fortran_order = boolean(), once(seen[1], key);
      } else if (key == "shape") {
        header.shape = tuple(), once(seen[2], key);
      } else {
        throw NpyRefusal{format("unknown key \"{}\"", key)};
      }
      if (!take(',') && !next_is('}')) throw NpyRefusal{"expected , or } in the header"};
    }
    skip_space();
    if (!rest_.empty()) throw NpyRefusal{"text after the header's dictionary"};
    if (!seen[0] || !seen[1] || !seen[2]) throw NpyRefusal{"expected descr, fortran_order and shape in the header"};
  }

 private:
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }

  bool next_is(char c) {
    skip_space();
    return rest_.starts_with(c);
  }

  bool take(char c) {
    if (!next_is(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char c) {
    if (!take(c)) throw NpyRefusal{format("expected {} in the header", c)};
  }

  static void once(bool& seen, std::string_view key) {
    if (std::exchange(seen, true)) throw NpyRefusal{format("key \"{}\" appears twice", key)};
  }

  std::string_view quoted() {
    skip_space();
    const char quote = rest_.empty() ? '\0' : rest_.front();
    const size_t end = quote == '\'' || quote == '"' ? rest_.find(quote, 1) : std::string_view::npos;
    if (end == std::string_view::npos) throw NpyRefusal{"expected a quoted text in the header"};
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }

  bool boolean() {
    skip_space();
    for (const auto& [word, value] : {std::pair{std::string_view("True"), true}, {std::string_view("False"), false}}) {
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    throw NpyRefusal{"expected fortran_order to be True or False"};
  }

  void parse_type(NpyHeader& header) {
    if (next_is('[')) throw NpyRefusal{"expected numbers, got records"};
    const std::string_view text = quoted();
    const char order = text.empty() ? '\0' : text.front();
    const auto dtype = text.size() == 3 ? dtype_of_descr(text.substr(1)) : std::nullopt;
    if (!dtype || std::string_view("<>=|").find(order) == std::string_view::npos) {
      throw NpyRefusal{format("expected booleans, integers or floats, got numpy type \"{}\"", text)};
    }
    header.dtype = *dtype;
    header.big_endian = order == '>';
  }

  std::vector<int64_t> tuple() {
    std::vector<int64_t> out;
    expect('(');
    while (!take(')')) {
      if (out.size() == kMaxNpyRank) throw NpyRefusal{format("expected at most {} dimensions, got more", kMaxNpyRank)};
      out.push_back(extent());
      if (!take(',') && (out.size() == 1 || !next_is(')'))) throw NpyRefusal{"expected , or ) in the shape"};
    }
    return out;
  }

  int64_t extent() {
    skip_space();
    int64_t value = -1;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || value < 0) throw NpyRefusal{"expected extents >= 0 below 2^63 in the shape"};
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }

  std::string_view rest_;
};

NpyHeader parse_npy_header(std::span<const std::byte> file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kMagic) || file.size() < 10) throw NpyRefusal{"expected a .npy file to begin with \\x93NUMPY"};
  const auto version = std::to_integer<int>(file[6]);
  if (version < 1 || version > 3) throw NpyRefusal{format("expected format version 1 to 3, got {}", version)};
  const size_t length_bytes = version == 1 ? 2 : 4;
  const size_t begin = 8 + length_bytes;
  if (file.size() < begin) throw NpyRefusal{"the file ends inside its header"};
  const size_t length = little_endian(file.subspan(8, length_bytes));
  if (length > kMaxNpyHeader)
    throw NpyRefusal{format("expected a header of at most {} bytes, got {}", kMaxNpyHeader, length)};
  if (file.size() - begin < length) throw NpyRefusal{"the file ends inside its header"};
  NpyHeader header;
  LiteralParser(text.substr(begin, length)).parse(header);
  header.data_begin = begin + length;
  return header;
}

/// Column-major to row-major.
std::vector<std::byte> reordered(std::span<const std::byte> data, std::span<const int64_t> shape, size_t element) {
  std::vector<std::byte> out(data.size());
  std::vector<size_t> strides(shape.size());  // of the source, in bytes
  size_t stride = element;
  for (size_t d = 0; d < shape.size(); ++d) {
    strides[d] = stride;
    stride *= static_cast<size_t>(shape[d]);
  }
  std::vector<int64_t> index(shape.size(), 0);
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

OwnedTensor parse_or_throw(std::span<const std::byte> file) {
  NpyHeader header = parse_npy_header(file);
  const auto data = file.subspan(header.data_begin);
  const auto bytes = dense_bytes(header.dtype, header.shape);
  if (!bytes || std::cmp_not_equal(*bytes, data.size())) {
    throw NpyRefusal{format("expected {} bytes of data for shape ({}), got {}",
                            bytes ? std::to_string(*bytes) : "more than 2^63", fmt::join(header.shape, ", "),
                            data.size())};
  }
  if (header.dtype == DType::kBool && !std::ranges::all_of(data, [](std::byte b) { return b <= std::byte{1}; })) {
    throw NpyRefusal{"expected booleans to be 0 or 1"};
  }
  const auto element = size_in_bytes(header.dtype);
  OwnedTensor out{.dtype = header.dtype, .shape = std::move(header.shape), .bytes = {}};
  if (header.fortran_order && out.shape.size() > 1) {
    out.bytes = reordered(data, out.shape, static_cast<size_t>(element));
  } else {
    out.bytes.assign(data.begin(), data.end());
  }
  if (header.big_endian) swap_byte_order(out.bytes, element);
  return out;
}

}  // namespace

Result<OwnedTensor> parse_npy(std::span<const std::byte> file, const std::string& place) {
  try {
    return parse_or_throw(file);
  } catch (const NpyRefusal& refusal) {
    return Problem{.place = place, .message = refusal.message, .cure = ""};
  }
}

}  // namespace unireplk::formats
