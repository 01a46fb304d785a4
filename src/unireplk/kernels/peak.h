#pragma once

namespace unireplk::kernels {

/// Multiply and add, twice each lane and instruction, from registers alone, on the calling thread: the most that the
/// instruction set in use can do. In GFLOP/s; takes a hundredth of a second.
double measure_fma_peak();

}  // namespace unireplk::kernels
