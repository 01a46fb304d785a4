#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace unireplk::test {

/// A .npy file as NumPy writes it on this machine.
template <class T>
std::string npy_bytes(const std::vector<int64_t>& shape, const std::vector<T>& values) {
  const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
  std::string header =
      std::string("{'descr': '<") + kind + std::to_string(sizeof(T)) + "', 'fortran_order': False, 'shape': (";
  for (const int64_t extent : shape) header += std::to_string(extent) + ", ";
  header += "), }";
  while ((header.size() + 11) % 64 != 0) header += ' ';
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() % 256);
  file += static_cast<char>(header.size() / 256);
  file += header;
  file.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return file;
}

}  // namespace unireplk::test
