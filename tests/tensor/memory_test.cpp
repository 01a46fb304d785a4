#include "unireplk/tensor/memory.h"

#include <ATen/ops/ones.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "support/catch.h"
#include "unireplk/core/memory.h"

#ifndef __SANITIZE_ADDRESS__  // which has memory of its own
namespace unireplk {
namespace {

/// VmFlags of the mapping that an address lies in.
std::string flags_of_mapping(const void* address) {
  std::ifstream file("/proc/self/smaps");
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  bool is_inside = false;
  for (std::string line; std::getline(file, line);) {
    uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) is_inside = begin <= wanted && wanted < end;
    if (is_inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return {};
}

}  // namespace

TEST_CASE("use_huge_pages: what large tensors lie on is advised") {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) {
    std::cerr << "SKIPPED: this kernel has no huge pages\n";
    return;
  }
  keep_freed_memory();
  use_huge_pages();
  const auto large = at::ones({int64_t{16} << 20});
  const auto* middle = large.const_data_ptr<float>() + large.numel() / 2;
  CHECK_THAT(flags_of_mapping(middle), Catch::Matchers::Contains(" hg "));
  CHECK(large.sum().item<double>() == static_cast<double>(large.numel()));
}

}  // namespace unireplk
#endif
