#include "unireplk/formats/checksum.h"

#include <zlib.h>

namespace unireplk::formats {

uint32_t crc32_of(std::span<const std::byte> bytes, uint32_t before) {
  return static_cast<uint32_t>(crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace unireplk::formats
