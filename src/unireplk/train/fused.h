#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "unireplk/tensor/state.h"

/// What optimizers share that run LibTorch's fused updates.
namespace unireplk::train {

/// The gradient in the memory order of its parameter: a fused update walks both with one index.
at::Tensor aligned_gradient(const at::Tensor& parameter);

/// Copy an entry of a checkpoint into `target`. \throws UserError when the shape differs.
void restore_entry(at::Tensor target, const StateReader& reader, const std::string& key);

/// `skip` of Optimizer::step() as a fused update takes it.
inline std::optional<at::Tensor> found_inf(const at::Tensor& skip) {
  return skip.defined() ? std::optional(skip) : std::nullopt;
}

}  // namespace unireplk::train
