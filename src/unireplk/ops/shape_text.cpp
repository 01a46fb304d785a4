#include "unireplk/ops/shape_text.h"

#include <fmt/ranges.h>

#include "unireplk/core/format.h"

namespace unireplk::ops {

std::string shape_text(at::IntArrayRef sizes) { return format("[{}]", fmt::join(sizes.begin(), sizes.end(), ", ")); }

std::string shape_text(const at::Tensor& tensor) { return tensor.defined() ? shape_text(tensor.sizes()) : "undefined"; }

}  // namespace unireplk::ops
