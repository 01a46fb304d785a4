#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace unireplk::test {

/// What a fuzz target does with bytes: parse them and hold what comes out to its contract.
void try_bytes(std::span<const std::byte> bytes);

/// End the program when a contract does not hold, so that a fuzzer keeps the bytes that did it.
inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "broken contract: %s\n", what);
  std::abort();
}

}  // namespace unireplk::test
