#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace unireplk::formats {

/// CRC-32 as zip and gzip have it (polynomial 0xedb88320). \param before  that of the bytes in front, to go on with.
uint32_t crc32_of(std::span<const std::byte> bytes, uint32_t before = 0);

}  // namespace unireplk::formats
