#pragma once

#include "emulation/emulator.h"

/// Stands for the header of this name in CUDA's toolkit.
inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes) {
  unireplk::emulation::copy_later(to, from, bytes);
}

inline void __pipeline_commit() { unireplk::emulation::end_group_of_copies(); }

inline void __pipeline_wait_prior(size_t groups_left) { unireplk::emulation::wait_for_copies(groups_left); }
