#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

namespace unireplk::nn {

/// Draw every convolution and Linear weight inside `module` from N(0, 0.02), in state-dict order, and set
/// what is constant at the start: biases and GRN 0, norms 1 and 0 with fresh statistics, layer scale (spec:
/// model, section 2.6).
void initialise(torch::nn::Module& module, at::Generator generator);

}  // namespace unireplk::nn
