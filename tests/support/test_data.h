#pragma once

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

namespace unireplk::test {

/// A file or folder of the test data. Nothing, and a line that says why, when UNIREPLK_TEST_DATA is not set:
///
///   const auto path = test_data("golden/safetensors");
///   if (!path) return;
inline std::optional<std::filesystem::path> test_data(const std::string& name) {
  const char* root = std::getenv("UNIREPLK_TEST_DATA");
  if (root == nullptr || *root == '\0') {
    std::cerr << "SKIPPED: needs " << name << " of the test data; set UNIREPLK_TEST_DATA to its folder\n";
    return std::nullopt;
  }
  return std::filesystem::path(root) / name;
}

}  // namespace unireplk::test
