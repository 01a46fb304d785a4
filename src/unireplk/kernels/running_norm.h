#pragma once

#include <cstdint>

namespace unireplk::kernels {

/// What a batch norm keeps of its batches, [channels] each; in training it moves towards the statistics of a batch (the
/// unbiased variance).
struct RunningNorm {
  float* mean = nullptr;
  float* variance = nullptr;
  int64_t* batches = nullptr;  ///< becomes one more, or null: nobody counts
};

}  // namespace unireplk::kernels
