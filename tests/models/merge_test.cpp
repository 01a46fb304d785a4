#include <map>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/tolerances.h"

namespace unireplk::models {
namespace {

TEST_CASE("UniRepLKNet: every merged tensor equals the reference", "[golden]") {
  const auto variant = GENERATE(as<std::string>(), "a", "t");
  const auto golden = test::golden_json("reparam")[variant];
  auto network = filled(variant_options("unireplknet_" + variant), at::kDouble);
  network->eval();
  network->merge();
  REQUIRE(golden.size() == network->blocks().size());
  std::map<std::string, at::Tensor> ours;
  for (const auto& [name, tensor] : state_dict(*network)) ours.emplace(name, tensor);
  for (const auto& [block, row] : golden.items()) {
    CHECK(row["merged"].size() == 4);  // weight and bias of the token mixer and of pwconv2
    for (const auto& [name, expected] : row["merged"].items()) {
      CAPTURE(block, name);
      REQUIRE(ours.contains(block + "." + name));
      CHECK(test::probe_difference(ours.at(block + "." + name), expected) <= test::kMergedWeights);
    }
  }
}

TEST_CASE("UniRepLKNet: merging leaves every other tensor as it was", "[numeric]") {
  auto network = filled({.dims = {8, 8, 8, 8}, .num_classes = 3});
  std::map<std::string, at::Tensor> before;
  for (const auto& [name, tensor] : state_dict(*network)) before.emplace(name, tensor.detach().clone());
  network->merge();
  size_t kept = 0;
  for (const auto& [name, tensor] : state_dict(*network)) {
    const bool folded = name.find(".dwconv.") != std::string::npos || name.find(".pwconv2.") != std::string::npos;
    if (folded) continue;
    CAPTURE(name);
    CHECK(at::equal(tensor, before.at(name)));
    ++kept;
  }
  CHECK(kept == 156 - 12 * 4);
}

TEST_CASE("UniRepLKNet: merging twice changes nothing", "[numeric]") {
  auto network = filled({.dims = {8, 8, 8, 8}, .num_classes = 3});
  network->eval();
  network->merge();
  CHECK(network->options().deploy);
  const auto x = test::formula_input({1, 3, 32, 32});
  const auto once = network->forward(x);
  network->merge();
  CHECK(at::equal(network->forward(x), once));
}

}  // namespace
}  // namespace unireplk::models
