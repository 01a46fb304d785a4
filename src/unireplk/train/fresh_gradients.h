#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace unireplk::train {

/// While alive parameters begin without a gradient: then a backward pass hands over the gradients that it makes, where
/// it would add each to the one there is by an operation of its own. In the end what was there is back.
class FreshGradients {
 public:
  explicit FreshGradients(const std::vector<at::Tensor>& parameters);
  ~FreshGradients();
  FreshGradients(const FreshGradients&) = delete;
  FreshGradients& operator=(const FreshGradients&) = delete;

  /// Add what passes have made so far to what was there, in place, by a few operations. The first gradient of a
  /// parameter is taken as it is.
  void add();

 private:
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> kept_;  ///< gradients that were there, parallel to parameters_
};

}  // namespace unireplk::train
