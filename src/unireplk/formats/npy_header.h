#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace unireplk::formats {

inline constexpr size_t kMaxNpyRank = 32;  ///< as NumPy has it

/// What stands before the data of a .npy file, version 1 to 3.
struct NpyHeader {
  std::string type;  ///< "<f4"
  bool fortran_order = false;
  std::vector<int64_t> shape;  ///< of at most kMaxNpyRank extents
  size_t data_begin = 0;
};

/// Why a .npy file is refused; thrown by its parts, and a Problem outside.
struct NpyRefusal {
  std::string message;
};

/// \throws NpyRefusal when the bytes do not begin with a header.
NpyHeader parse_npy_header(std::span<const std::byte> file);

}  // namespace unireplk::formats
