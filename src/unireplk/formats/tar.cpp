#include "unireplk/formats/tar.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "unireplk/core/whole_number.h"

namespace unireplk::formats {
namespace {

constexpr int64_t kMaxTarRecord = 1 << 16;  // bytes of a long name, or of the pax records of one member
constexpr int64_t kTarCheckedAtOnce = 1 << 16;

/// A field of a header: where it begins and how long it is (POSIX, pax Interchange Format).
struct TarField {
  size_t at, width;
};
constexpr TarField kTarName{0, 100}, kTarSize{124, 12}, kTarChecksum{148, 8}, kTarType{156, 1}, kTarMagic{257, 6},
    kTarPrefix{345, 155};

std::string_view characters(const TarBlock& block, TarField field) {
  return {reinterpret_cast<const char*>(block.data()) + field.at, field.width};
}

/// Bytes that a member takes up.
int64_t padded(int64_t bytes) { return (bytes + kTarBlockBytes - 1) / kTarBlockBytes * kTarBlockBytes; }

std::string_view up_to_nul(std::string_view text) { return text.substr(0, text.find('\0')); }

bool is_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

/// Digits of a base and nothing else.
std::optional<int64_t> digits(std::string_view text, int base) {
  return text.starts_with('-') ? std::nullopt : whole_number(text, base);
}

/// A number of a header: octal digits between blanks, or, when the first bit is set, binary as GNU tar writes large
/// ones.
std::optional<int64_t> tar_number(std::string_view field) {
  const auto first = static_cast<unsigned char>(field.front());
  if (first & 0x80) {
    if (first != 0x80) return std::nullopt;  // negative, or more than 11 bytes hold
    uint64_t value = 0;
    for (const char c : field.substr(1)) {
      if (value >> 55) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return static_cast<int64_t>(value);
  }
  field = up_to_nul(field);
  const size_t begin = field.find_first_not_of(' ');
  if (begin == std::string_view::npos) return 0;
  return digits(field.substr(begin, field.find_last_not_of(' ') + 1 - begin), 8);
}

/// The sum of all bytes with blanks for the field itself; old programs added signed bytes.
bool checksum_holds(const TarBlock& block) {
  int64_t plain = 0, with_sign = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    const bool is_own = i >= kTarChecksum.at && i < kTarChecksum.at + kTarChecksum.width;
    const auto value = is_own ? uint8_t{' '} : std::to_integer<uint8_t>(block[i]);
    plain += value;
    with_sign += static_cast<int8_t>(value);
  }
  const auto stored = tar_number(characters(block, kTarChecksum));
  return stored == plain || stored == with_sign;
}

TarKind kind_of(char type, std::string_view name) {
  switch (type) {
    case '\0':  // before POSIX a slash made the folder
      return name.ends_with('/') ? TarKind::kFolder : TarKind::kFile;
    case '0':
    case '7':
      return TarKind::kFile;
    case '5':
      return TarKind::kFolder;
    case '1':
    case '2':
      return TarKind::kLink;
    case '3':
    case '4':
    case '6':
      return TarKind::kDevice;
    default:
      return TarKind::kOther;
  }
}

/// Whether the size of such a member counts bytes that follow. POSIX numbers the kinds that have none 1 to 6.
bool has_bytes(char type) { return type < '1' || type > '6'; }

std::string name_in(const TarBlock& block) {
  const std::string name(up_to_nul(characters(block, kTarName)));
  const std::string prefix(up_to_nul(characters(block, kTarPrefix)));
  // GNU's own magic is "ustar " and has times where POSIX has the prefix.
  const bool has_prefix = characters(block, kTarMagic) == std::string_view("ustar\0", 6) && !prefix.empty();
  return has_prefix ? prefix + '/' + name : name;
}

}  // namespace

/// What the records before a header say instead of it.
struct TarReader::Extra {
  std::optional<std::string> name;
  std::optional<int64_t> bytes;
};

TarReader::TarReader(ReadAt read, int64_t size, std::string place)
    : read_(std::move(read)), size_(size), place_(std::move(place)) {}

void TarReader::refuse(std::string message) const {
  throw UserError({.place = format("{}: header at byte {}", place_, header_),
                   .message = std::move(message),
                   .cure = "It is no tar archive, or damaged; make or download it again."});
}

Result<bool> TarReader::next(TarMember& member) {
  return as_result([&] { return step(member); });
}

bool TarReader::step(TarMember& member) {
  Extra extra;
  while (!ended_) {
    header_ = at_;
    const TarBlock block = read_block();
    if (is_zero(block)) {
      if (extra.name || extra.bytes) refuse("a record of a member that does not follow");
      check_end();
      ended_ = true;
    } else {
      check_header(block);
      const auto bytes = tar_number(characters(block, kTarSize));
      if (!bytes) refuse("expected a size, got something else or a negative one");
      if (!take_record(characters(block, kTarType).front(), *bytes, extra)) {
        take_member(block, extra.bytes.value_or(*bytes), std::move(extra.name), member);
        return true;
      }
    }
  }
  return false;
}

TarBlock TarReader::read_block() {
  if (size_ - at_ < kTarBlockBytes) refuse("the archive ends without the zeros that end one: cut short?");
  TarBlock block;
  read_(at_, block);
  at_ += kTarBlockBytes;
  return block;
}

void TarReader::check_header(const TarBlock& block) const {
  if (checksum_holds(block)) return;
  const bool is_packed = block[0] == std::byte{0x1f} && block[1] == std::byte{0x8b};
  refuse(is_packed ? "expected a tar archive, got a file that gzip has packed" : "its checksum is wrong");
}

/// Whether the header was one of a record that speaks of the next member, which is then in `extra`.
bool TarReader::take_record(char type, int64_t bytes, Extra& extra) {
  switch (type) {
    case 'L':  // GNU: its name
      extra.name = up_to_nul(record(bytes));
      return true;
    case 'K':  // GNU: what it links to
      record(bytes);
      return true;
    case 'x':
    case 'g':
      read_pax(bytes, type == 'g', extra);
      return true;
    default:
      return false;
  }
}

void TarReader::take_member(const TarBlock& block, int64_t bytes, std::optional<std::string> name, TarMember& member) {
  const char type = characters(block, kTarType).front();
  if (type == 'S') refuse("sparse files are not supported");
  member.name = name ? *std::move(name) : name_in(block);
  if (member.name.empty()) refuse("a member without a name");
  member.kind = kind_of(type, member.name);
  if (!has_bytes(type)) bytes = 0;
  if (bytes > size_ - at_) {
    refuse(format("\"{}\" says {} bytes, the archive has {} more: cut short?", member.name, bytes, size_ - at_));
  }
  member.offset = at_;
  member.bytes = member.kind == TarKind::kFile ? bytes : 0;
  at_ += padded(bytes);
}

/// Hold what follows the first block of zeros to be zeros as well.
void TarReader::check_end() {
  std::vector<std::byte> piece(static_cast<size_t>(std::min(kTarCheckedAtOnce, size_ - at_)));
  while (at_ < size_) {
    const auto part = std::span(piece).first(static_cast<size_t>(std::min(std::ssize(piece), size_ - at_)));
    read_(at_, part);
    if (!is_zero(part)) refuse("there is more behind the end of the archive: several in a row?");
    at_ += std::ssize(part);
  }
}

/// The bytes of a member that speaks of another.
std::string TarReader::record(int64_t bytes) {
  if (bytes > kMaxTarRecord) refuse(format("expected a record of at most {} bytes, got {}", kMaxTarRecord, bytes));
  if (padded(bytes) > size_ - at_) refuse("the archive ends within a record: cut short?");
  std::string text(static_cast<size_t>(bytes), '\0');
  read_(at_, std::as_writable_bytes(std::span(text)));
  at_ += padded(bytes);
  return text;
}

/// Records "LENGTH KEY=VALUE\n", where the length counts all of it.
void TarReader::read_pax(int64_t bytes, bool is_global, Extra& extra) {
  const std::string all = record(bytes);
  for (std::string_view rest = all; !rest.empty();) {
    const auto length = digits(rest.substr(0, rest.find(' ')), 10).value_or(0);
    const auto line = rest.substr(0, static_cast<size_t>(std::min(length, std::ssize(rest))));
    const size_t key = line.find(' ') + 1, equals = line.find('=');
    if (std::ssize(line) != length || !line.ends_with('\n') || equals == std::string_view::npos || equals < key) {
      refuse("expected pax records, got something else");
    }
    const auto name = line.substr(key, equals - key);
    const auto value = line.substr(equals + 1, line.size() - equals - 2);
    rest.remove_prefix(line.size());
    if (name.starts_with("GNU.sparse.")) refuse("sparse files are not supported");
    if (value.empty() || (name != "path" && name != "size")) continue;
    if (is_global) refuse(format("expected the {} of one member, got one for all", name));
    if (name == "path") {
      if (value.find('\0') != std::string_view::npos) refuse("a name with a zero byte in it");
      extra.name = value;
    } else if (extra.bytes = digits(value, 10); !extra.bytes) {
      refuse("expected a size, got something else or a negative one");
    }
  }
}

}  // namespace unireplk::formats
