#include "unireplk/formats/tar.h"

#include "fuzz/target.h"

namespace unireplk::test {
namespace {

constexpr size_t kBlock = 512;

/// Past the header: the first member's is accepted.
bool try_tar(std::span<const std::byte> bytes) {
  const auto read = [bytes](int64_t offset, std::span<std::byte> out) {
    require(offset >= 0 && offset <= std::ssize(bytes) && std::ssize(out) <= std::ssize(bytes) - offset,
            "a read beyond the archive");
    std::ranges::copy(bytes.subspan(static_cast<size_t>(offset), out.size()), out.begin());
  };
  formats::TarReader reader(read, std::ssize(bytes), "fuzz.tar");
  formats::TarMember member;
  int64_t end = 0;
  while (true) {
    const auto more = reader.next(member);
    if (!more || !*more) return end > 0;
    require(!member.name.empty(), "a member without a name");
    require(member.offset > end, "a member within another");
    require(member.bytes >= 0 && member.bytes <= std::ssize(bytes) - member.offset, "a member beyond the archive");
    end = member.offset + member.bytes;
  }
}

void put_checksum(std::span<std::byte> header) {
  constexpr size_t kAt = 148, kDigits = 6;
  std::ranges::fill(header.subspan(kAt, kDigits + 2), std::byte{' '});
  unsigned sum = 0;
  for (const auto byte : header) sum += std::to_integer<unsigned>(byte);
  for (size_t i = 0; i < kDigits; ++i)
    header[kAt + i] = static_cast<std::byte>('0' + (sum >> 3 * (kDigits - 1 - i)) % 8);
  header[kAt + kDigits] = std::byte{0};
}

/// The octal number in 12 bytes of a header.
size_t size_in(std::span<const std::byte> header) {
  size_t size = 0;
  for (const auto byte : header.subspan(124, 11)) size = size * 8 + (std::to_integer<size_t>(byte) & 7);
  return size;
}

void repair_checksums(std::span<std::byte> archive) {
  while (archive.size() >= kBlock) {
    const auto header = archive.first(kBlock);
    if (std::ranges::all_of(header, [](std::byte byte) { return byte == std::byte{0}; })) return;
    put_checksum(header);
    const size_t rest = archive.size() - kBlock, size = size_in(header);
    if (size > rest) return;
    archive = archive.subspan(std::min(archive.size(), kBlock + (size + kBlock - 1) / kBlock * kBlock));
  }
}

/// Anything, and the checksums of all headers.
void change_tar(Bytes& bytes, const Change& change, std::mt19937&) {
  change(bytes);
  repair_checksums(bytes);
}

}  // namespace

const Target kTarget{.try_bytes = try_tar, .change_within = change_tar};

}  // namespace unireplk::test
