#include "unireplk/formats/byte_order.h"

#include <algorithm>

namespace unireplk::formats {

void swap_byte_order(std::span<std::byte> bytes, int64_t element_bytes) {
  const auto step = static_cast<size_t>(element_bytes);
  if (step < 2) return;
  for (size_t i = 0; i + step <= bytes.size(); i += step) std::ranges::reverse(bytes.subspan(i, step));
}

uint32_t big_endian(std::span<const std::byte> bytes) {
  uint32_t value = 0;
  for (const std::byte b : bytes) value = value << 8 | std::to_integer<uint32_t>(b);
  return value;
}

uint64_t little_endian(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i) value = value << 8 | std::to_integer<uint64_t>(bytes[i - 1]);
  return value;
}

void append_little_endian(std::string& bytes, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
}

}  // namespace unireplk::formats
