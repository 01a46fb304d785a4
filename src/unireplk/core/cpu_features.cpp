#include "unireplk/core/cpu_features.h"

namespace unireplk {

std::string best_instruction_set() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) return "AVX512";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "AVX2";
  if (__builtin_cpu_supports("sse4.2")) return "SSE4.2";
  return "SSE2";
#elif defined(__aarch64__)
  return "NEON";
#else
  return "baseline";
#endif
}

CpuVendor cpu_vendor() {
#if defined(__x86_64__)
  if (__builtin_cpu_is("intel")) return CpuVendor::kIntel;
  if (__builtin_cpu_is("amd")) return CpuVendor::kAmd;
#endif
  return CpuVendor::kOther;
}

std::string to_text(CpuVendor vendor) {
  switch (vendor) {
    case CpuVendor::kIntel:
      return "Intel";
    case CpuVendor::kAmd:
      return "AMD";
    case CpuVendor::kOther:
      break;
  }
  return "other";
}

}  // namespace unireplk
