#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace unireplk::formats {

/// SHA-1 (FIPS 180-4), for file formats and rules that name it; it protects nothing.
std::array<std::byte, 20> sha1_of(std::span<const std::byte> bytes);

}  // namespace unireplk::formats
