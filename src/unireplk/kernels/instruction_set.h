#pragma once

#include <string>
#include <vector>

namespace unireplk::kernels {

/// "AVX512", "AVX2", "NEON" or "baseline": every instruction set compiled in that this processor has, best first.
std::vector<std::string> instruction_sets();

/// The one in use: the best, or what the environment variable UNIREPLK_CPU_ISA names.
/// \throws UserError when that is not one of instruction_sets().
std::string instruction_set();

/// Use `name` from now on, for tests and measurements; not while kernels run. Empty: back to the start.
/// \throws UserError when it is not one of instruction_sets().
void force_instruction_set(const std::string& name);

}  // namespace unireplk::kernels
