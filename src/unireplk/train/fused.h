#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "unireplk/tensor/state.h"

/// What is shared by all that runs LibTorch's fused updates.
namespace unireplk::train {

/// `tensor` with the strides of `place`, which has its sizes: fused operations walk all tensors with one index, and one
/// of other strides makes LibTorch take all by themselves.
at::Tensor laid_out_as(const at::Tensor& place, const at::Tensor& tensor);

/// The gradient in the memory order of its parameter: a fused update walks both with one index.
at::Tensor aligned_gradient(const at::Tensor& parameter);

/// Copy an entry of a checkpoint into `target`. \throws UserError when the shape differs.
void restore_entry(at::Tensor target, const StateReader& reader, const std::string& key);

/// Move each of `averages` towards that of `values`, by a few operations for all of them.
/// \param averages    of one type and device. Those of `values` have their sizes and strides.
/// \param share       of the way, scalar on any device: 0 leaves every bit of the averages alone, whatever they or
///                    the values are.
/// \param most_bytes  of memory at a time, unless one tensor is larger.
/// Numerics: the distance of both and what is left of it are rounded each; of share 1 as well.
void move_together(const std::vector<at::Tensor>& averages, const std::vector<at::Tensor>& values,
                   const at::Tensor& share, int64_t most_bytes = int64_t{64} << 20);

/// Take `factor` times each of `values` away from that of `targets`, which it may be itself, by one operation.
/// \param factor  scalar on their device; undefined: nothing is done.
/// \param skip    as of Optimizer::step().
/// Numerics: product and difference are rounded once.
void subtract_together(const std::vector<at::Tensor>& targets, const std::vector<at::Tensor>& values,
                       const at::Tensor& factor, const at::Tensor& skip);

/// `skip` of Optimizer::step() as a fused update takes it.
inline std::optional<at::Tensor> found_inf(const at::Tensor& skip) {
  return skip.defined() ? std::optional(skip) : std::nullopt;
}

}  // namespace unireplk::train
