#include <ATen/ATen.h>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "unireplk/core/error.h"

namespace unireplk::models {
namespace {

using Catch::Matchers::Contains;

void remove(NamedTensors& tensors, const std::string& name) {
  const auto gone = std::erase_if(tensors, [&](const auto& entry) { return entry.first == name; });
  REQUIRE(gone == 1);
}

at::Tensor& tensor_named(NamedTensors& tensors, const std::string& name) {
  const auto found = std::ranges::find(tensors, name, &std::pair<std::string, at::Tensor>::first);
  REQUIRE(found != tensors.end());
  return found->second;
}

LoadReport load(UniRepLKNet& network, const NamedTensors& tensors, bool strict = true) {
  return load_state_dict(*network, tensors, {.place = "net.pth", .strict = strict});
}

/// Everything but what is named arrived.
void check_loaded(const UniRepLKNetImpl& network, const NamedTensors& expected) {
  const auto loaded = state_dict(network);
  REQUIRE(loaded.size() == expected.size());
  for (size_t i = 0; i < loaded.size(); ++i) {
    CAPTURE(loaded[i].first);
    CHECK(at::equal(loaded[i].second, expected[i].second));
  }
}

TEST_CASE("load_state_dict: every tensor arrives, in both forms") {
  auto options = small();
  options.deploy = GENERATE(false, true);
  auto network = blank(options);
  const auto given = weights(options);
  const auto report = load(network, given);
  CHECK(report.missing.empty());
  CHECK(report.unexpected.empty());
  check_loaded(*network, given);
}

TEST_CASE("load_state_dict: order does not matter, dtypes are converted") {
  auto network = blank(small());
  auto given = weights(small());
  std::ranges::reverse(given);
  for (auto& [name, tensor] : given) {
    if (tensor.is_floating_point()) tensor = tensor.to(at::kDouble);
  }
  load(network, given);
  check_loaded(*network, weights(small()));
}

TEST_CASE("load_state_dict: tensors are copied, not shared") {
  auto network = blank(small());
  auto given = weights(small());
  load(network, given);
  tensor_named(given, "head.bias").fill_(9);
  CHECK_FALSE(network->head->bias.eq(9).any().item<bool>());
}

TEST_CASE("load_state_dict: prefixes of wrappers are taken off") {
  const auto prefix = GENERATE(as<std::string>(), "module.", "backbone.", "module.backbone.", "backbone.module.");
  CAPTURE(prefix);
  auto network = blank(small());
  load(network, weights(small(), prefix));
  check_loaded(*network, weights(small()));
}

TEST_CASE("load_state_dict: a prefix that not all names carry is part of the name") {
  auto network = blank(small());
  auto given = weights(small(), "module.");
  given.front().first = given.front().first.substr(std::string("module.").size());
  CHECK_THROWS_WITH(load(network, given), Contains("missing") && Contains("module."));
}

TEST_CASE("load_state_dict: a missing num_batches_tracked is 0") {
  auto network = filled(small());
  auto given = weights(small());
  std::erase_if(given, [](const auto& entry) { return entry.first.ends_with("num_batches_tracked"); });
  network->blocks().back()->norm->num_batches_tracked.fill_(5);
  const auto report = load(network, given);
  CHECK(report.missing.empty());
  CHECK(network->blocks().back()->norm->num_batches_tracked.item<int64_t>() == 0);
}

TEST_CASE("load_state_dict: refuses what does not match, and changes nothing then") {
  auto network = blank(small());
  auto given = weights(small());
  SECTION("a tensor is missing") {
    remove(given, "stages.2.0.se.up.bias");
    CHECK_THROWS_WITH(load(network, given), Contains("net.pth: 1 tensors are missing: stages.2.0.se.up.bias"));
  }
  SECTION("a statistic is missing") {
    remove(given, "stages.2.0.norm.running_var");
    CHECK_THROWS_WITH(load(network, given), Contains("missing: stages.2.0.norm.running_var"));
  }
  SECTION("a tensor too many") {
    given.emplace_back("stages.4.0.gamma", at::zeros({8}));
    CHECK_THROWS_WITH(load(network, given),
                      Contains("net.pth: the network has no place for 1 tensors: stages.4.0.gamma"));
  }
  SECTION("another shape") {
    tensor_named(given, "head.weight") = at::zeros({1000, 8});
    CHECK_THROWS_WITH(load(network, given), Contains("head.weight (expected [3, 8], got [1000, 8])"));
    CHECK_THROWS_WITH(load(network, given, /*strict=*/false), Contains("head.weight (expected [3, 8], got [1000, 8])"));
  }
  SECTION("as many elements, another shape") {
    tensor_named(given, "stages.2.0.act.1.beta") = at::zeros({32});
    CHECK_THROWS_WITH(load(network, given), Contains("stages.2.0.act.1.beta (expected [1, 1, 1, 32], got [32])"));
  }
  SECTION("whole numbers for weights") {
    tensor_named(given, "head.bias") = at::zeros({3}, at::kLong);
    CHECK_THROWS_WITH(load(network, given), Contains("head.bias (expected Float, got Long)"));
  }
  SECTION("all at once, each told") {
    remove(given, "norm.bias");
    given.emplace_back("extra", at::zeros({8}));
    tensor_named(given, "head.weight") = at::zeros({1000, 8});
    CHECK_THROWS_WITH(load(network, given), Contains("norm.bias") && Contains("extra") && Contains("head.weight"));
  }
  SECTION("a name twice") {
    given.push_back(given.front());
    CHECK_THROWS_WITH(load(network, given), Contains("downsample_layers.0.0.weight comes twice"));
  }
  SECTION("nothing at all") { CHECK_THROWS_AS(load(network, {}), UserError); }
  CHECK(is_blank(*network));
}

TEST_CASE("load_state_dict: a long list of names is cut") {
  auto network = blank(small());
  auto given = weights(small());
  given.resize(10);
  CHECK_THROWS_WITH(load(network, given), Contains("downsample_layers.1.0.bias") || Contains("downsample_layers.1.1"));
  CHECK_THROWS_WITH(load(network, given), Contains(" more"));
}

TEST_CASE("load_state_dict: tells the train form from the deploy form in words") {
  auto deployed = small();
  deployed.deploy = true;
  auto train = blank(small()), deploy = blank(deployed);
  CHECK_THROWS_WITH(load(train, weights(deployed)),
                    Contains("net.pth: the weights are in deploy form, the network is in train form") &&
                        Contains("cannot be trained further"));
  CHECK_THROWS_WITH(load(deploy, weights(small(), "module.")),
                    Contains("the weights are in train form, the network is in deploy form") && Contains("Export"));
}

TEST_CASE("load_state_dict: not strict, it reports what did not match and loads the rest") {
  auto features = small();
  features.mode = Mode::kFeatures;
  auto network = blank(features);
  const auto report = load(network, weights(small()), /*strict=*/false);
  CHECK(report.unexpected == std::vector<std::string>{"head.bias", "head.weight", "norm.bias", "norm.weight"});
  CHECK(report.missing == std::vector<std::string>{"norm0.weight", "norm0.bias", "norm1.weight", "norm1.bias",
                                                   "norm2.weight", "norm2.bias", "norm3.weight", "norm3.bias"});
  auto given = weights(small());
  CHECK(at::equal(network->blocks().back()->gamma, tensor_named(given, "stages.3.0.gamma")));
  CHECK(network->stage_norms[0]->weight.eq(0).all().item<bool>());
}

}  // namespace
}  // namespace unireplk::models
