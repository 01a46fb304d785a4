#pragma once

#include <ATen/core/grad_mode.h>

namespace torch::nn {
class Module;
}

namespace unireplk::nn {

/// While alive: the network is in eval mode and no gradients are recorded. Nests; a network that is in eval mode
/// already is left alone, so that what it caches for inference survives from batch to batch.
class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& network);
  ~EvaluationMode();
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  torch::nn::Module& network_;
  bool was_training_;
  at::NoGradGuard no_grad_;
};

}  // namespace unireplk::nn
