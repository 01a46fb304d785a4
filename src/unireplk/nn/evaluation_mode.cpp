#include "unireplk/nn/evaluation_mode.h"

#include <torch/nn/module.h>

namespace unireplk::nn {

EvaluationMode::EvaluationMode(torch::nn::Module& network) : network_(network), was_training_(network.is_training()) {
  if (was_training_) network_.eval();
}

EvaluationMode::~EvaluationMode() {
  if (was_training_) network_.train();
}

}  // namespace unireplk::nn
