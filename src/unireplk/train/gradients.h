#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace unireplk::train {

/// Measure the L2 norm over all gradients and, given `max_norm`, scale them in place by min(1, max_norm / (norm +
/// 1e-6)).
///
/// \return the norm before scaling, a scalar on the gradients' device; nothing waits for it.
at::Tensor clip_gradients(const std::vector<at::Tensor>& gradients, std::optional<double> max_norm);

}  // namespace unireplk::train
