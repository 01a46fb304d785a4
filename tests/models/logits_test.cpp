#include <ATen/core/grad_mode.h>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/tolerances.h"
#include "unireplk/models/unireplknet.h"

namespace unireplk::models {
namespace {

using test::relative_difference;

/// Logits of the train form by its branch graph, of the train form by merged kernels, and of the deploy form.
void check_logits(const std::string& variant, const std::string& key, at::IntArrayRef shape, at::ScalarType dtype,
                  double tolerance) {
  const auto golden = test::golden_tensors("logits");
  const auto* exact = golden.find(key + ".f64");
  REQUIRE(exact);
  const auto x = test::formula_input(shape).to(dtype);
  auto network = filled(variant_options("unireplknet_" + variant), dtype);
  network->eval();
  CHECK(relative_difference(network->forward(x), *exact) <= tolerance);  // with gradients: the branch graph
  const at::NoGradGuard no_graph;
  CHECK(relative_difference(network->forward(x), *exact) <= tolerance);
  network->merge();
  CHECK(relative_difference(network->forward(x), *exact) <= tolerance);
}

TEST_CASE("UniRepLKNet: logits of every variant equal the reference", "[golden]") {
  const auto variant = GENERATE(as<std::string>(), "a", "f", "p", "n", "t", "s", "b");
  CAPTURE(variant);
  check_logits(variant, variant, {2, 3, 64, 64}, at::kFloat, test::kOutputF32);
}

TEST_CASE("UniRepLKNet: logits of the largest variants equal the reference", "[golden][slow]") {
  const auto variant = GENERATE(as<std::string>(), "l", "xl");
  CAPTURE(variant);
  check_logits(variant, variant, {2, 3, 64, 64}, at::kFloat, test::kOutputF32);
}

TEST_CASE("UniRepLKNet: logits equal the reference to rounding in float64", "[golden]") {
  const auto variant = GENERATE(as<std::string>(), "a", "n", "t");
  CAPTURE(variant);
  check_logits(variant, variant, {2, 3, 64, 64}, at::kDouble, test::kOutputF64);
}

TEST_CASE("UniRepLKNet: any input size", "[golden]") {
  check_logits("a", "a_97x65", {1, 3, 97, 65}, at::kFloat, test::kOutputF32);
  check_logits("a", "a_97x65", {1, 3, 97, 65}, at::kDouble, test::kOutputF64);
}

}  // namespace
}  // namespace unireplk::models
