#pragma once

/// Which instruction sets Highway compiles the kernels for: to be included before any of its headers.
#define UNIREPLK_UNUSED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#ifndef HWY_DISABLED_TARGETS
#ifdef UNIREPLK_PLAIN_KERNELS  // for builds whose tests run no network: these kernels take minutes to compile
#define HWY_DISABLED_TARGETS (UNIREPLK_UNUSED_TARGETS | HWY_AVX2 | HWY_AVX3)
#else
#define HWY_DISABLED_TARGETS UNIREPLK_UNUSED_TARGETS
#endif
#endif

namespace unireplk::kernels {

/// Settle which instruction set is used, once; call before any dispatch.
void prepare_dispatch();

}  // namespace unireplk::kernels
