#pragma once

/// Which instruction sets Highway compiles the kernels for: to be included before any of its headers.
#define UNIREPLK_UNUSED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS UNIREPLK_UNUSED_TARGETS
#endif

namespace unireplk::kernels {

/// Settle which instruction set is used, once; call before any dispatch.
void prepare_dispatch();

}  // namespace unireplk::kernels
