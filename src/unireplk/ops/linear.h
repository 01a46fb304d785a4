#pragma once

#include <ATen/core/Tensor.h>

#include "unireplk/ops/product_table.h"

namespace unireplk::ops {

/// x * weight^T + bias.
///
/// \param x       [..., in], floating
/// \param weight  [out, in]
/// \param bias    [out], or undefined
/// \return        [..., out]
/// \throws ContractError when shapes do not fit.
/// Numerics: in float32 on the CPU `table` says which library computes each of the three products, forward and
/// backward; they differ by rounding. Anything else is at::linear().
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ProductTable& table);

/// The same with the table of this processor.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace unireplk::ops
