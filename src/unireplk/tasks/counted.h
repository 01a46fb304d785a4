#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "unireplk/tensor/sample.h"

namespace unireplk::tasks {

/// Which samples of a batch a metric counts, all but padding: bool [B] on the CPU.
at::Tensor counted(const std::vector<SampleKey>& keys);

}  // namespace unireplk::tasks
