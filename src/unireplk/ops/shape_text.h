#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace unireplk::ops {

/// "[2, 3, 64, 64]", or "undefined": for messages.
std::string shape_text(const at::Tensor& tensor);
std::string shape_text(at::IntArrayRef sizes);

}  // namespace unireplk::ops
