#pragma once

#include <string>

namespace unireplk {

/// The widest instruction set of this processor that matters here, for people: "AVX512", "AVX2", "SSE4.2",
/// "NEON", ...
std::string best_instruction_set();

enum class CpuVendor { kIntel, kAmd, kOther };

CpuVendor cpu_vendor();

std::string to_text(CpuVendor vendor);  ///< "Intel", "AMD", "other"

}  // namespace unireplk
