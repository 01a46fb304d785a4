#include <ATen/ops/empty.h>

#include <algorithm>

#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/models/describe.h"

namespace unireplk::models {
namespace {

using Catch::Matchers::Contains;

/// Names and shapes of a network; no memory stands behind them.
NamedTensors names_and_shapes(const UniRepLKNetOptions& options, const std::string& prefix = "") {
  const UniRepLKNet network(options, at::TensorOptions(at::kMeta));
  NamedTensors result;
  for (const auto& [name, tensor] : state_dict(*network)) result.emplace_back(prefix + name, tensor);
  return result;
}

UniRepLKNetOptions inferred(const NamedTensors& tensors) { return infer_options(tensors, "net.pth"); }

UniRepLKNetOptions mixed() {
  return resolved({.depths = {1, 2, 3, 1},
                   .dims = {8, 12, 16, 20},
                   .kernel_sizes = {{0}, {5, 3}, {17, 9, 31}, {7}},
                   .in_channels = 5,
                   .num_classes = 11});
}

TEST_CASE("infer_options: every variant in every form and mode") {
  const auto name = GENERATE(as<std::string>(), "a", "f", "p", "n", "t", "s", "b", "l", "xl");
  const bool deploy = GENERATE(false, true);
  CAPTURE(name, deploy);
  auto options = variant_options("unireplknet_" + name);
  options.deploy = deploy;
  CHECK(inferred(names_and_shapes(options)) == options);
  CHECK(variant_name(inferred(names_and_shapes(options))) == "unireplknet_" + name);
  options.mode = Mode::kFeatures;
  CHECK(inferred(names_and_shapes(options)) == options);
  options.mode = Mode::kTrunk;
  CHECK(inferred(names_and_shapes(options)) == options);
}

TEST_CASE("infer_options: classes, channels, kernels of any kind and missing layer scale") {
  auto options = mixed();
  SECTION("train form") {}
  SECTION("no layer scale") { options.layer_scale_init = 0; }
  SECTION("deploy form") { options.deploy = true; }
  CHECK(inferred(names_and_shapes(options)) == options);
  CHECK(variant_name(options) == "unireplknet");
}

TEST_CASE("infer_options: names may have a prefix and stand among others") {
  const auto prefix = GENERATE(as<std::string>(), "module.", "backbone.", "encoder.backbone.");
  CAPTURE(prefix);
  auto tensors = names_and_shapes(mixed(), prefix);
  std::ranges::reverse(tensors);
  tensors.emplace_back("decode_head.conv.weight", at::empty({4, 4}, at::kMeta));
  CHECK(inferred(tensors) == mixed());
}

/// A network built from what was inferred must take the tensors and compute the same.
void check_fits(const UniRepLKNetOptions& options) {
  const auto tensors = names_and_shapes(options);
  const UniRepLKNet again(inferred(tensors), at::TensorOptions(at::kMeta));
  const auto names = state_dict(*again);
  CHECK(std::ranges::is_permutation(
      names, tensors, {}, [](const auto& e) { return std::pair(e.first, e.second.sizes().vec()); },
      [](const auto& e) { return std::pair(e.first, e.second.sizes().vec()); }));
}

TEST_CASE("infer_options: own branches come back as rules") {
  auto options = mixed();
  SECTION("for one stage") {
    options.branches = {{.kernel_size = 9, .stage = 2, .branches = {{7, 1}, {3, 4}}}};
    CHECK(inferred(names_and_shapes(options)) == options);
  }
  SECTION("none at all") {
    options.branches = {{.kernel_size = 7, .stage = 3, .branches = {}}};
    CHECK(inferred(names_and_shapes(options)) == options);
  }
  SECTION("several") {
    options.branches = {{.kernel_size = 9, .stage = 2, .branches = {{7, 1}}},
                        {.kernel_size = 31, .stage = 2, .branches = {{3, 1}, {5, 2}, {3, 15}}}};
    CHECK(inferred(names_and_shapes(options)) == options);
  }
  SECTION("a rule without a stage") {
    options.branches = {{.kernel_size = 7, .stage = {}, .branches = {{3, 1}}}};
    CHECK(block_options(inferred(names_and_shapes(options)), 3, 0).branches == block_options(options, 3, 0).branches);
  }
  SECTION("the default spelt out is the default") {
    options.branches = {{.kernel_size = 7, .stage = {}, .branches = {{5, 1}, {3, 2}, {3, 3}}}};
    CHECK(inferred(names_and_shapes(options)).branches.empty());
  }
  check_fits(options);
}

TEST_CASE("infer_options: refuses what is no UniRepLKNet") {
  auto tensors = names_and_shapes(mixed());
  const auto drop = [&](const std::string& name) {
    REQUIRE(std::erase_if(tensors, [&](const auto& entry) { return entry.first.ends_with(name); }) > 0);
  };
  const auto set = [&](const std::string& name, at::IntArrayRef shape) {
    for (auto& [key, tensor] : tensors) {
      if (key == name) tensor = at::empty(shape, at::kMeta);
    }
  };
  SECTION("nothing") {
    tensors.clear();
    CHECK_THROWS_WITH(inferred(tensors), Contains("net.pth: not the weights of a UniRepLKNet"));
  }
  SECTION("another network") {
    drop("downsample_layers.0.0.weight");
    CHECK_THROWS_WITH(inferred(tensors), Contains("no tensor downsample_layers.0.0.weight"));
  }
  SECTION("no stage 2 size") {
    drop("downsample_layers.2.1.bias");
    CHECK_THROWS_WITH(inferred(tensors), Contains("no tensor downsample_layers.2.1.bias"));
  }
  SECTION("neither form") {
    drop("pwconv2.2.running_var");
    CHECK_THROWS_WITH(inferred(tensors), Contains("neither train nor deploy form"));
  }
  SECTION("a stage without blocks") {
    std::erase_if(tensors, [](const auto& entry) { return entry.first.starts_with("stages.3."); });
    CHECK_THROWS_WITH(inferred(tensors), Contains("stage 3, got 0"));
  }
  SECTION("a kernel that cannot be") {
    set("stages.1.0.dwconv.weight", {12, 1, 4, 4});
    CHECK_THROWS_WITH(inferred(tensors), Contains("expected 0 or an odd number") && Contains("got 4"));
  }
  SECTION("a rank that cannot be") {
    set("head.weight", {11});
    CHECK_THROWS_WITH(inferred(tensors), Contains("head.weight: expected 2 dimensions, got 1"));
  }
  SECTION("a branch that cannot be") {
    tensors.emplace_back("stages.3.0.dwconv.dil_conv_kx_1.weight", at::empty({20, 1, 3, 3}, at::kMeta));
    CHECK_THROWS_WITH(inferred(tensors), Contains("stages.3.0.dwconv.dil_conv_kx_1.weight: not the name of a branch"));
  }
  SECTION("a branch that is too large") {
    tensors.emplace_back("stages.3.0.dwconv.dil_conv_k7_9.weight", at::empty({20, 1, 7, 7}, at::kMeta));
    CHECK_THROWS_WITH(inferred(tensors), Contains("[7, 9]"));
  }
  CHECK_THROWS_AS(inferred(tensors), UserError);
}

TEST_CASE("form_of: tells the form from the names alone") {
  auto options = mixed();
  CHECK(form_of(names_and_shapes(options)) == Form::kTrain);
  options.deploy = true;
  CHECK(form_of(names_and_shapes(options, "module.")) == Form::kDeploy);
  CHECK_FALSE(form_of({{"head.weight", at::empty({2, 2})}}).has_value());
}

}  // namespace
}  // namespace unireplk::models
