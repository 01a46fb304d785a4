#pragma once

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "unireplk/train/optimizer.h"

/// A network and gradients that are the same everywhere, to hold optimizers against.
namespace unireplk::test {

inline at::Tensor wave(at::IntArrayRef shape, double phase, at::ScalarType dtype = at::kDouble) {
  int64_t count = 1;
  for (const auto size : shape) count *= size;
  return (at::arange(count, at::kDouble) * 0.7 + phase).sin().view(shape).to(dtype);
}

/// A convolution of the image network, so that its weight decays and its bias does not.
struct StageImpl : torch::nn::Module {
  explicit StageImpl(at::ScalarType dtype) {
    weight = register_parameter("weight", wave({4, 3, 3, 3}, 0.3, dtype));
    bias = register_parameter("bias", wave({4}, 1.1, dtype));
  }
  at::Tensor weight, bias;
};

/// Parameters of two depths.
struct NetImpl : torch::nn::Module {
  explicit NetImpl(at::ScalarType dtype = at::kDouble)
      : stage(std::make_shared<StageImpl>(dtype)),
        list(register_module("stages", std::make_shared<torch::nn::Module>())) {
    list->register_module("0", stage);
    head = register_parameter("head", wave({2, 5}, 2.0, dtype));
  }

  /// Gradients of step `t`: a function of parameter and step alone.
  void set_gradients(int64_t t) {
    double phase = 0.1 * static_cast<double>(t * t);
    for (auto& parameter : parameters()) {
      parameter.mutable_grad() =
          wave(parameter.sizes(), phase += 0.5, parameter.scalar_type()) * (t % 5 == 0 ? 10 : 0.3);
    }
  }

  std::shared_ptr<StageImpl> stage;
  std::shared_ptr<torch::nn::Module> list;
  at::Tensor head;
};

/// Settings of step `t` as a schedule might give them, the first with learning rate 0.
inline train::StepSettings settings_of(int64_t t) {
  return {.lr = 1e-2 * static_cast<double>(t % 7), .weight_decay = 0.05 + 0.01 * static_cast<double>(t % 3)};
}

inline std::vector<at::Tensor> values_of(const NetImpl& net) {
  std::vector<at::Tensor> values;
  for (const auto& parameter : net.parameters()) values.push_back(parameter.detach().clone());
  return values;
}

inline bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) { return x.equal(y); });
}

}  // namespace unireplk::test
