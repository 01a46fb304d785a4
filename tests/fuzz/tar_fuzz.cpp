#include "unireplk/formats/tar.h"

#include "fuzz/target.h"

void unireplk::test::try_bytes(std::span<const std::byte> bytes) {
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
    if (!more || !*more) return;
    require(!member.name.empty(), "a member without a name");
    require(member.offset > end, "a member within another");
    require(member.bytes >= 0 && member.bytes <= std::ssize(bytes) - member.offset, "a member beyond the archive");
    end = member.offset + member.bytes;
  }
}
