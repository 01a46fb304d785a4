#include <cstddef>

#include "emulation/races.h"

/// What code compiled with -fsanitize=thread calls; stands for the library of that name.
using unireplk::emulation::races;

#define UNIREPLK_ACCESSES(bytes)                                                                                     \
  void __tsan_read##bytes(void* memory) { races.see(memory, bytes, /*writes=*/false, __builtin_return_address(0)); } \
  void __tsan_write##bytes(void* memory) { races.see(memory, bytes, /*writes=*/true, __builtin_return_address(0)); }
#define UNIREPLK_UNALIGNED_ACCESSES(bytes)                                   \
  void __tsan_unaligned_read##bytes(void* memory) {                          \
    races.see(memory, bytes, /*writes=*/false, __builtin_return_address(0)); \
  }                                                                          \
  void __tsan_unaligned_write##bytes(void* memory) {                         \
    races.see(memory, bytes, /*writes=*/true, __builtin_return_address(0));  \
  }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit(void*) {}
void __tsan_vptr_update(void**, void*) {}

UNIREPLK_ACCESSES(1)
UNIREPLK_ACCESSES(2)
UNIREPLK_ACCESSES(4)
UNIREPLK_ACCESSES(8)
UNIREPLK_ACCESSES(16)
UNIREPLK_UNALIGNED_ACCESSES(2)
UNIREPLK_UNALIGNED_ACCESSES(4)
UNIREPLK_UNALIGNED_ACCESSES(8)
UNIREPLK_UNALIGNED_ACCESSES(16)

void __tsan_read_range(void* memory, size_t bytes) {
  races.see(memory, bytes, /*writes=*/false, __builtin_return_address(0));
}
void __tsan_write_range(void* memory, size_t bytes) {
  races.see(memory, bytes, /*writes=*/true, __builtin_return_address(0));
}

}  // extern "C"
