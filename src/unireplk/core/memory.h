#pragma once

namespace unireplk {

/// Keep memory that was freed for the next allocations instead of giving it back to the system. A training step frees
/// and takes the same memory again and again, and the system clears every page that it hands out. To be called before
/// the first tensor is made.
void keep_freed_memory();

}  // namespace unireplk
