#include "unireplk/train/optimizer.h"

namespace unireplk::train {

void Optimizer::step(const StepSettings& settings, const at::Tensor& skip) {
  GroupRates rates(groups(), /*decay_on_device=*/false);
  rates.set(settings);
  step(rates, skip);
}

void Optimizer::zero_grad() {
  for (const auto& group : groups()) {
    for (const auto& parameter : group.parameters) at::Tensor(parameter.value).mutable_grad().reset();
  }
}

std::vector<at::Tensor> Optimizer::gradients() const {
  std::vector<at::Tensor> gradients;
  for (const auto& group : groups()) {
    for (const auto& parameter : group.parameters) {
      if (parameter.value.grad().defined()) gradients.push_back(parameter.value.grad());
    }
  }
  return gradients;
}

}  // namespace unireplk::train
