#include "unireplk/core/memory.h"

#include <malloc.h>

#include <limits>

namespace unireplk {

void keep_freed_memory() {
  constexpr int kNever = std::numeric_limits<int>::max(), kOff = -1;
  constexpr int kStep = 256 << 20;
  mallopt(M_MMAP_THRESHOLD, kNever);
  mallopt(M_TRIM_THRESHOLD, kOff);
  mallopt(M_TOP_PAD, kStep);
}

}  // namespace unireplk
