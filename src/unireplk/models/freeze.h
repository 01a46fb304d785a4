#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <vector>

namespace unireplk::models {

/// Stop parts of a network from learning: parameters that a pattern names (core/name_pattern.h) get no gradient, and a
/// batch norm whose weight is among them keeps and uses its running statistics, in training too.
///
/// \return elements that are frozen.
/// \throws UserError for each pattern that names no parameter, and when nothing is left to learn.
int64_t freeze(torch::nn::Module& network, const std::vector<std::string>& patterns);

}  // namespace unireplk::models
