#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace unireplk::test {

/// All bytes of a file; none when it cannot be read.
inline std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Write a file, and the folders that it lies in.
inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace unireplk::test
