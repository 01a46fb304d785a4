#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <optional>

namespace unireplk::nn {

/// Elements of `x` at 0 with probability `rate`, the others divided by 1 - rate. The mask is drawn from `generator`, so
/// that it follows from the step alone; without one, in evaluation, x comes back as it is.
at::Tensor dropout(const at::Tensor& x, double rate, const std::optional<at::Generator>& generator);

}  // namespace unireplk::nn
