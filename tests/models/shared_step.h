#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <string>

#include "models/filled.h"
#include "support/golden.h"
#include "support/tolerances.h"
#include "unireplk/nn/synchronise.h"

/// A backward pass of a small network, alone or as one of several ranks.
namespace unireplk::models {

struct StepOutcome {
  at::Tensor logits;
  NamedTensors gradients;
  NamedTensors state;  ///< behind the step
};

/// Fused blocks, a block of branches one by one, a plain kernel, none.
inline UniRepLKNetOptions network_for_ranks() {
  return {.depths = {1, 1, 2, 1},
          .dims = {8, 8, 16, 16},
          .kernel_sizes = {{3}, {7}, {13, 0}, {5}},
          .num_classes = 5,
          .layer_scale_init = 0.5};
}

inline at::Tensor images_for_ranks() { return test::formula_input({5, 3, 64, 64}); }

/// The step of the images [first, end) of images_for_ranks().
inline StepOutcome step_of(int64_t first, int64_t end, at::ScalarType dtype,
                           const std::shared_ptr<Collective>& collective) {
  auto network = filled(network_for_ranks(), dtype);
  network->train();
  nn::synchronise_norms(*network, collective);
  StepOutcome out;
  out.logits = network->forward(images_for_ranks().slice(0, first, end).to(dtype));
  out.logits.backward(test::formula_input({5, 5}, "dlogits").slice(0, first, end).to(dtype));
  for (const auto& parameter : network->named_parameters()) {
    out.gradients.emplace_back(parameter.key(), parameter.value().grad());
  }
  for (const auto& [name, tensor] : state_dict(*network)) out.state.emplace_back(name, tensor.detach().clone());
  return out;
}

/// The first tensor in which ranks together differ from one process; "" when none does.
inline std::string difference(const StepOutcome& got, const StepOutcome& expected, bool is_float) {
  const double limit = is_float ? test::kOutputF32 : test::kOutputF64;
  const double gradient_limit = is_float ? test::kGradientF32 : test::kGradientF64;
  if (!(test::relative_difference(got.logits, expected.logits) <= limit)) return "logits";
  double squares = 0;
  for (const auto& [name, gradient] : expected.gradients) squares += gradient.square().sum().item<double>();
  const double rounding = (is_float ? test::kUndoneGradient : test::kOutputF64) * std::sqrt(squares);
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    const auto& [name, exact] = expected.gradients[i];
    const auto error = (got.gradients[i].second.to(at::kDouble) - exact).norm().item<double>();
    if (!(error <= gradient_limit * exact.norm().item<double>() + rounding)) return "gradient of " + name;
  }
  for (size_t i = 0; i < expected.state.size(); ++i) {
    const auto& [name, exact] = expected.state[i];
    const auto error = test::relative_difference(got.state[i].second.to(at::kDouble), exact.to(at::kDouble));
    if (!(error <= limit)) return name;
  }
  return "";
}

}  // namespace unireplk::models
