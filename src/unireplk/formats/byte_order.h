#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace unireplk::formats {

/// Reverse the bytes of every element, in place. `bytes.size()` is a multiple of `element_bytes`.
void swap_byte_order(std::span<std::byte> bytes, int64_t element_bytes);

/// An unsigned number of up to four bytes.
uint32_t big_endian(std::span<const std::byte> bytes);
uint32_t little_endian(std::span<const std::byte> bytes);

}  // namespace unireplk::formats
