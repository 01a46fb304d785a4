#include "unireplk/models/freeze.h"

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/core/name_pattern.h"
#include "unireplk/core/some_of.h"
#include "unireplk/nn/layers.h"

namespace unireplk::models {
namespace {

constexpr const char* kPlace = "train.freeze";

void check_patterns(const torch::nn::Module& network, const std::vector<std::string>& patterns) {
  std::vector<Problem> problems;
  const auto parameters = network.named_parameters().keys();
  for (const auto& pattern : patterns) {
    if (std::ranges::any_of(parameters, [&](const auto& name) { return names(pattern, name); })) continue;
    problems.push_back({kPlace, format("\"{}\" names no part of the network", pattern),
                        format("Its parts are {}.", some_of(network.named_children().keys()))});
  }
  if (!problems.empty()) throw UserError(std::move(problems));
}

void freeze_norms(torch::nn::Module& network) {
  for (const auto& module : network.modules()) {
    auto* norm = module->as<nn::BatchNormImpl>();
    if (!norm || norm->weight.requires_grad()) continue;
    norm->frozen = true;
    norm->eval();
  }
}

}  // namespace

int64_t freeze(torch::nn::Module& network, const std::vector<std::string>& patterns) {
  check_patterns(network, patterns);
  const auto parameters = network.named_parameters();
  const auto is_named = [&](const auto& parameter) { return any_names(patterns, parameter.key()); };
  if (std::ranges::all_of(parameters, is_named)) {
    throw UserError({kPlace, "expected something left to learn, got nothing", "Freeze less."});
  }
  int64_t frozen = 0;
  for (const auto& parameter : parameters) {
    if (!is_named(parameter)) continue;
    parameter.value().set_requires_grad(false);
    frozen += parameter.value().numel();
  }
  if (frozen > 0) freeze_norms(network);
  return frozen;
}

}  // namespace unireplk::models
