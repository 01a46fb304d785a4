#include "unireplk/formats/pack.h"

#include "fuzz/target.h"
#include "unireplk/formats/checksum.h"

namespace {

using unireplk::test::require;

/// Read it as it is, and again with the checksum that its table should have, so that changes get past it.
void try_pack(std::span<const std::byte> bytes) {
  const auto read = [bytes](int64_t offset, std::span<std::byte> out) {
    require(offset >= 0 && offset <= std::ssize(bytes) && std::ssize(out) <= std::ssize(bytes) - offset,
            "a read beyond the file");
    std::ranges::copy(bytes.subspan(static_cast<size_t>(offset), out.size()), out.begin());
  };
  const auto index = unireplk::formats::PackIndex::read(read, std::ssize(bytes), "fuzz.pack");
  if (!index) return;
  int64_t end = 16;
  size_t names = 0;
  for (const auto& entry : index->entries()) {
    require(entry.offset >= end && entry.bytes <= std::ssize(bytes) - entry.offset, "a piece at an impossible place");
    end = entry.offset + entry.bytes;
    names += entry.name.size();
  }
  require(names + index->description().size() <= bytes.size(), "more text than the file has");
}

}  // namespace

void unireplk::test::try_bytes(std::span<const std::byte> bytes) {
  try_pack(bytes);
  if (bytes.size() < 64) return;
  std::vector<std::byte> mended(bytes.begin(), bytes.end());
  uint64_t tail = 0;
  for (const auto& [at, unit] :
       {std::pair(size_t{48}, uint64_t{24}), {size_t{40}, uint64_t{1}}, {size_t{32}, uint64_t{1}}}) {
    uint64_t count = 0;
    for (size_t i = 8; i > 0; --i) count = count << 8 | std::to_integer<uint64_t>(mended[mended.size() - at + i - 1]);
    if (count > mended.size()) return;
    tail += count * unit;
  }
  if (tail > mended.size() - 64) return;
  const uint32_t crc = formats::crc32_of(std::span(mended).subspan(mended.size() - 48 - tail, tail));
  for (size_t i = 0; i < 4; ++i) mended[mended.size() - 24 + i] = static_cast<std::byte>(crc >> 8 * i);
  try_pack(mended);
}
