#include "unireplk/formats/pack.h"

#include "fuzz/target.h"
#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/checksum.h"

namespace unireplk::test {
namespace {

constexpr std::string_view kMark = "UNIREPLK PACK 1\n";
constexpr size_t kEnd = 48;  // bytes that tell how long the tables before them are, and their checksum

/// The tables in front of the end; nothing when there are none.
template <class Byte>
std::span<Byte> tables_of(std::span<Byte> bytes) {
  if (bytes.size() < kMark.size() + kEnd) return {};
  const size_t room = bytes.size() - kMark.size() - kEnd;
  size_t size = 0;
  for (const auto& [at, unit] : {std::pair(size_t{0}, size_t{24}), {8, 1}, {16, 1}}) {
    const uint64_t count = formats::little_endian(bytes.last(kEnd).subspan(at, 8));
    if (count > room) return {};
    size += count * unit;
  }
  if (size > room) return {};
  return bytes.subspan(bytes.size() - kEnd - size, size);
}

/// Past the header: marks and checksum are right, so that the tables are read.
bool has_sound_frame(std::span<const std::byte> bytes) {
  const auto tables = tables_of(bytes);
  return !tables.empty() && text_of(bytes).starts_with(kMark) && text_of(bytes).ends_with(kMark) &&
         formats::crc32_of(tables) == formats::little_endian(bytes.last(kEnd).subspan(24, 4));
}

bool try_pack(std::span<const std::byte> bytes) {
  const auto read = [bytes](int64_t offset, std::span<std::byte> out) {
    require(offset >= 0 && offset <= std::ssize(bytes) && std::ssize(out) <= std::ssize(bytes) - offset,
            "a read beyond the file");
    std::ranges::copy(bytes.subspan(static_cast<size_t>(offset), out.size()), out.begin());
  };
  const auto index = formats::PackIndex::read(read, std::ssize(bytes), "fuzz.pack");
  const bool is_past = has_sound_frame(bytes);
  if (!index) return is_past;
  auto end = static_cast<int64_t>(kMark.size());
  size_t names = 0;
  for (const auto& entry : index->entries()) {
    require(entry.offset >= end && entry.bytes <= std::ssize(bytes) - entry.offset, "a piece at an impossible place");
    end = entry.offset + entry.bytes;
    names += entry.name.size();
  }
  require(names + index->description().size() <= bytes.size(), "more text than the file has");
  return is_past;
}

/// Half the time what lies between the marks, else anything; and the checksum.
void change_pack(Bytes& bytes, const Change& change, std::mt19937& random) {
  if (random() % 2 == 0 || bytes.size() < kMark.size() + kEnd) {
    change(bytes);
  } else {
    const Bytes end(bytes.end() - kMark.size(), bytes.end());
    bytes.resize(bytes.size() - kMark.size());
    change_behind(kMark.size(), bytes, change);
    bytes.insert(bytes.end(), end.begin(), end.end());
  }
  const auto tables = tables_of(std::span(bytes));
  if (tables.empty()) return;
  const uint32_t checksum = formats::crc32_of(tables);
  for (size_t i = 0; i < 4; ++i) bytes[bytes.size() - kEnd + 24 + i] = static_cast<std::byte>(checksum >> 8 * i);
}

}  // namespace

const Target kTarget{.try_bytes = try_pack, .change_within = change_pack};

}  // namespace unireplk::test
