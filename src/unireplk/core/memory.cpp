#include "unireplk/core/memory.h"

#include <malloc.h>

#include <limits>

namespace unireplk {

void keep_freed_memory() {
  constexpr int kNever = std::numeric_limits<int>::max();
  mallopt(M_MMAP_THRESHOLD, kNever);
  mallopt(M_TRIM_THRESHOLD, kNever);
}

}  // namespace unireplk
