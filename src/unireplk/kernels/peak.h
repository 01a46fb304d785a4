#pragma once

#include "unireplk/kernels/depthwise.h"

/// What the processor does at most, to hold times against.
namespace unireplk::kernels {

/// Multiply and add, twice each lane and instruction, from registers alone, on the calling thread: the most that the
/// instruction set in use can do. In GFLOP/s; takes a hundredth of a second.
double measure_fma_peak();

/// Of one channel of one image, in ns.
struct LoopTimes {
  double convolution;
  double gradient;  ///< of the weights
};

/// What the loops of a depthwise convolution take alone, on the calling thread: maps and filters are packed, and in the
/// nearest caches. Takes some hundredths of a second.
/// \param map  of at least one pixel
LoopTimes measure_depthwise_loops(const MapShape& map, const KernelShape& kernel);

}  // namespace unireplk::kernels
