#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace unireplk::train {

/// What a step or one of its micro-batches tells of itself: scalars on the device, for nothing waits for them, without
/// a graph.
struct StepValues {
  at::Tensor loss;  ///< to minimise; of a micro-batch, its share of the step's
  std::vector<std::pair<std::string, at::Tensor>> parts = {};  ///< of the loss, by name
  at::Tensor grad_norm = {};                                   ///< before clipping; undefined before the update
  at::Tensor loss_scale = {};  ///< that the loss was multiplied with; undefined where there is none

  /// Add the loss and its parts of a micro-batch of the step; the others are known of a step alone.
  void add(const StepValues& micro_batch);

  /// Values made of these, one by one.
  StepValues with_each(const std::function<at::Tensor(const at::Tensor&)>& change) const;

  /// All that are defined: loss, grad_norm, loss_scale, then parts.
  std::vector<at::Tensor> tensors() const;
};

}  // namespace unireplk::train
