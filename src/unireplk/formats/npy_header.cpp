#include "unireplk/formats/npy_header.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "unireplk/core/format.h"
#include "unireplk/formats/byte_order.h"

namespace unireplk::formats {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxNpyHeader = 65536;

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
    header.type = quoted();
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

}  // namespace

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

}  // namespace unireplk::formats
