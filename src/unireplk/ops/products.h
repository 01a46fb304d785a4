#pragma once

#include <ATen/core/Tensor.h>

#include "unireplk/ops/product_table.h"

namespace unireplk::ops {

/// Whether a library can compute products of these in float32 on the CPU: oneDNN where LibTorch has it.
bool can_multiply(Library library);

/// One product of a linear layer by one library, [rows, columns] each, float32 on the CPU, dense, not empty. No
/// gradients flow through it. Results of two libraries differ by rounding.
/// \param a  x, dy, dy
/// \param b  weight [out, in], weight, x
/// \return   y [rows, out], dx [rows, in], dweight [out, in]
at::Tensor multiply(Library library, ProductPass pass, const at::Tensor& a, const at::Tensor& b);

}  // namespace unireplk::ops
