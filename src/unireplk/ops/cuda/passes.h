#pragma once

#include <memory>

#include "unireplk/ops/passes.h"

namespace unireplk::ops::cuda {

/// As ops::passes_for(), for a map on a CUDA device.
std::unique_ptr<const Passes> passes_for(const at::Tensor& map);

}  // namespace unireplk::ops::cuda
