#include "unireplk/models/freeze.h"

#include <ATen/ATen.h>

#include "models/filled.h"
#include "support/catch.h"
#include "unireplk/core/error.h"

namespace unireplk::models {
namespace {

using Catch::Matchers::Contains;

UniRepLKNetOptions freezable(bool checkpointing = false) {
  return {.depths = {1, 1, 1, 1},
          .dims = {8, 8, 8, 8},
          .kernel_sizes = {{3}, {7}, {7}, {13}},
          .num_classes = 3,
          .checkpointing = checkpointing};
}

TensorsByName copy_of(const UniRepLKNetImpl& network) {
  TensorsByName result;
  for (const auto& [name, tensor] : state_dict(network)) result[name] = tensor.detach().clone();
  return result;
}

/// One training step by plain descent; the names of what it changed.
std::vector<std::string> changed_by_training(UniRepLKNetImpl& network) {
  const auto before = copy_of(network);
  network.train();
  at::manual_seed(1);
  network.forward(at::randn({4, 3, 64, 64})).square().sum().backward();
  const at::NoGradGuard no_graph;
  for (auto& parameter : network.parameters()) {
    if (parameter.grad().defined()) parameter.sub_(parameter.grad(), 0.1);
  }
  std::vector<std::string> changed;
  for (const auto& [name, tensor] : state_dict(network)) {
    if (!at::equal(tensor, before.at(name))) changed.push_back(name);
  }
  return changed;
}

TEST_CASE("freeze: frozen parts keep weights and statistics through training and evaluation") {
  for (const bool checkpointing : {false, true}) {
    auto network = filled(freezable(checkpointing));
    const auto frozen = freeze(*network, {"downsample_layers.[01]", "stages.[01]"});
    CHECK(frozen > 0);
    network->eval();
    const auto changed = changed_by_training(*network);
    CHECK_FALSE(changed.empty());
    for (const auto& name : changed) {
      INFO(name);
      const bool was_frozen = name.starts_with("stages.0.") || name.starts_with("stages.1.") ||
                              name.starts_with("downsample_layers.0.") || name.starts_with("downsample_layers.1.");
      CHECK_FALSE(was_frozen);
    }
    CHECK(std::ranges::count(changed, "stages.2.0.norm.running_mean") == 1);
  }
}

TEST_CASE("freeze: a linear probe trains the head alone") {
  auto network = filled(freezable());
  freeze(*network, {"downsample_layers", "stages", "norm"});
  CHECK(changed_by_training(*network) == std::vector<std::string>{"head.weight", "head.bias"});
}

TEST_CASE("freeze: a frozen network computes in training what it computes in evaluation") {
  auto network = filled(freezable());
  freeze(*network, {"downsample_layers", "stages", "norm"});
  const auto x = at::randn({2, 3, 64, 64});
  network->train();
  const auto trained = network->forward(x);
  network->eval();
  const at::NoGradGuard no_graph;
  const auto evaluated = network->forward(x);
  CHECK((trained - evaluated).abs().max().item<double>() < 1e-4 * evaluated.abs().max().item<double>());
}

TEST_CASE("freeze: patterns that name nothing, and freezing all, are refused") {
  auto network = filled(freezable());
  CHECK_THROWS_WITH(freeze(*network, {"stages.7", "neck"}), Contains("train.freeze") && Contains("\"stages.7\"") &&
                                                                Contains("\"neck\"") && Contains("downsample_layers"));
  CHECK_THROWS_WITH(freeze(*network, {"*"}), Contains("something left to learn"));
  auto other = filled(freezable());
  CHECK(freeze(*other, {}) == 0);
}

}  // namespace
}  // namespace unireplk::models
