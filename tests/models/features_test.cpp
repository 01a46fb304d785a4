#include <ATen/core/grad_mode.h>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/tolerances.h"
#include "unireplk/core/error.h"
#include "unireplk/core/format.h"

namespace unireplk::models {
namespace {

using Catch::Matchers::Contains;
using test::relative_difference;

UniRepLKNet network_in(Mode mode, const std::string& variant, at::ScalarType dtype) {
  auto options = variant_options("unireplknet_" + variant);
  options.mode = mode;
  auto network = filled(options, dtype);
  network->eval();
  return network;
}

/// Every way a network runs in eval mode: the branch graph, merged kernels of the train form, the deploy form.
void check_maps(UniRepLKNet network, const std::string& keys, const at::Tensor& x, double tolerance) {
  const auto golden = test::golden_tensors("features");
  const auto check = [&](const std::vector<at::Tensor>& maps) {
    REQUIRE(maps.size() == kStages);
    for (size_t s = 0; s < kStages; ++s) {
      const auto* expected = golden.find(format("{}{}", keys, s));
      REQUIRE(expected);
      REQUIRE(maps[s].sizes() == expected->sizes());
      CHECK(relative_difference(maps[s], *expected) <= tolerance);
    }
  };
  check(network->features(x));
  const at::NoGradGuard no_graph;
  check(network->features(x));
  network->merge();
  check(network->features(x));
}

TEST_CASE("UniRepLKNet: maps of all stages and feature mode equal the reference", "[golden]") {
  const auto variant = GENERATE(as<std::string>(), "a", "t");
  const auto [dtype, tolerance] =
      GENERATE(table<at::ScalarType, double>({{at::kFloat, test::kOutputF32}, {at::kDouble, test::kRoundedToF32}}));
  CAPTURE(variant, dtype);
  const auto x = test::formula_input({1, 3, 64, 64}).to(dtype);
  SECTION("raw maps") { check_maps(network_in(Mode::kTrunk, variant, dtype), variant + ".stage", x, tolerance); }
  SECTION("raw maps of a classifier") {
    check_maps(network_in(Mode::kClassifier, variant, dtype), variant + ".stage", x, tolerance);
  }
  SECTION("normalised maps") {
    check_maps(network_in(Mode::kFeatures, variant, dtype), variant + ".feature", x, tolerance);
  }
}

TEST_CASE("UniRepLKNet: the trunk puts out the last raw map", "[golden]") {
  auto network = network_in(Mode::kTrunk, "a", at::kDouble);
  const auto y = network->forward(test::formula_input({1, 3, 64, 64}).to(at::kDouble));
  CHECK(relative_difference(y, *test::golden_tensors("features").find("a.stage3")) <= test::kRoundedToF32);
}

/// Numbers printed in section 10 of the model specification.
TEST_CASE("UniRepLKNet: features of a batch have the moments of the specification", "[golden]") {
  struct Expected {
    double mean, rms, first;
  };
  const std::vector<Expected> expected{{-0.02300648, 0.95810549, 0.17924143},
                                       {-0.00114982, 1.01783315, 0.44868980},
                                       {0.00327224, 1.01367604, 0.53681480},
                                       {0.00777095, 1.01108017, 0.10200302}};
  auto network = network_in(Mode::kFeatures, "a", at::kDouble);
  const auto maps = network->features(test::formula_input({2, 3, 64, 64}).to(at::kDouble));
  for (size_t s = 0; s < kStages; ++s) {
    CAPTURE(s);
    const auto flat = maps[s].detach().contiguous().flatten();
    CHECK(flat.mean().item<double>() == Approx(expected[s].mean).margin(0.6e-8).epsilon(0));
    CHECK(flat.square().mean().sqrt().item<double>() == Approx(expected[s].rms).margin(0.6e-8).epsilon(0));
    CHECK(flat[0].item<double>() == Approx(expected[s].first).margin(0.6e-8).epsilon(0));
  }
}

TEST_CASE("UniRepLKNet: what a mode cannot do is refused") {
  UniRepLKNetOptions options{.dims = {8, 8, 8, 8}, .num_classes = 2, .mode = Mode::kFeatures};
  const auto x = test::formula_input({1, 3, 32, 32});
  CHECK_THROWS_WITH(UniRepLKNet(options)->forward(x), Contains("feature mode") && Contains("features()"));
  options.mode = Mode::kTrunk;
  CHECK_THROWS_WITH(UniRepLKNet(options)->classify(x), Contains("only the classifier has a head"));
  CHECK_THROWS_WITH(UniRepLKNet(options)->forward(test::formula_input({1, 4, 32, 32})),
                    Contains("expected x [N, 3, H, W], got [1, 4, 32, 32]"));
  options.drop_path = 0.1;
  CHECK_THROWS_WITH(UniRepLKNet(options)->forward(x), Contains("drop_path 0.1 needs a generator"));
}

}  // namespace
}  // namespace unireplk::models
