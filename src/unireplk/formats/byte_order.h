#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace unireplk::formats {

/// Reverse the bytes of every element, in place. `bytes.size()` is a multiple of `element_bytes`.
void swap_byte_order(std::span<std::byte> bytes, int64_t element_bytes);

/// An unsigned number of up to four bytes.
uint32_t big_endian(std::span<const std::byte> bytes);

/// An unsigned number of up to eight bytes.
uint64_t little_endian(std::span<const std::byte> bytes);

/// Add an unsigned number of `width` bytes to a text of bytes.
void append_little_endian(std::string& bytes, uint64_t value, size_t width);

}  // namespace unireplk::formats
