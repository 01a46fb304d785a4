#include "unireplk/core/recycler.h"

#include <cstdint>

#include "support/catch.h"

using namespace unireplk;

TEST_CASE("recycler: hands out again what was given back, for about the same size") {
  Recycler memory(size_t{1} << 20);
  void* first = memory.allocate(100'000);
  CHECK(reinterpret_cast<uintptr_t>(first) % 64 == 0);
  memory.deallocate(first, 100'000);
  void* other = memory.allocate(50'000);
  void* again = memory.allocate(99'000);
  CHECK(other != first);
  CHECK(again == first);
  memory.deallocate(other, 50'000);
  memory.deallocate(again, 99'000);
}

TEST_CASE("recycler: keeps no more than it may") {
  std::pmr::monotonic_buffer_resource upstream;  // gives the same place never twice
  Recycler memory(150'000, &upstream);
  void* first = memory.allocate(100'000);
  void* second = memory.allocate(100'000);
  memory.deallocate(first, 100'000);
  memory.deallocate(second, 100'000);
  CHECK(memory.allocate(100'000) == first);
  CHECK(memory.allocate(100'000) != second);
}
