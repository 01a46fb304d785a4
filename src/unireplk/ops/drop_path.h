#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// Draw what a branch is multiplied with under drop path (spec: model, section 2.5): for each sample 1 / (1 -
/// rate) with probability 1 - rate, else 0.
///
/// \param like       gives batch size (dimension 0), device and dtype.
/// \param rate       in [0, 1).
/// \param generator  on the device of `like`.
/// \return           [N, 1, 1, 1]
at::Tensor drop_path_mask(const at::Tensor& like, double rate, at::Generator generator);

/// x + branch * layer_scale * mask, in one pass over the map.
///
/// \param x, branch    [N, C, H, W]
/// \param layer_scale  [C], or undefined: 1.
/// \param mask         [N, 1, 1, 1] (drop_path_mask), or undefined: 1.
/// \throws ContractError when shapes do not fit.
at::Tensor add_branch(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& layer_scale,
                      const at::Tensor& mask);

}  // namespace unireplk::ops
