#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace unireplk::formats {

/// CRC-32 as zip and gzip have it (polynomial 0xedb88320).
uint32_t crc32_of(std::span<const std::byte> bytes);

}  // namespace unireplk::formats
