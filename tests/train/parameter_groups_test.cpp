#include "unireplk/train/parameter_groups.h"

#include <ATen/ops/empty.h>

#include <map>
#include <numeric>
#include <set>

#include "support/catch.h"
#include "unireplk/core/format.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/models/unireplknet.h"

namespace unireplk::train {
namespace {

using Groups = std::vector<ParameterGroup>;

/// A published network without memory for its weights.
models::UniRepLKNet outline(const std::string& variant) {
  return models::UniRepLKNet(models::variant_options("unireplknet_" + variant), at::TensorOptions(at::kMeta));
}

Groups groups_of(const std::string& variant, double layer_decay) {
  return parameter_groups(*outline(variant), layer_decay);
}

int64_t elements_of(const ParameterGroup& group) {
  return std::accumulate(group.parameters.begin(), group.parameters.end(), int64_t{0},
                         [](int64_t sum, const auto& parameter) { return sum + parameter.value.numel(); });
}

const ParameterGroup& group_named(const Groups& groups, const std::string& name) {
  for (const auto& group : groups) {
    if (group.name == name) return group;
  }
  FAIL("no group " << name);
  return groups.front();
}

const ParameterGroup& group_with(const Groups& groups, const std::string& parameter) {
  for (const auto& group : groups) {
    for (const auto& candidate : group.parameters) {
      if (candidate.name == parameter) return group;
    }
  }
  FAIL("no group holds " << parameter);
  return groups.front();
}

struct Count {
  std::string variant;
  size_t decay_tensors = 0;
  int64_t decay_elements = 0;
  size_t other_tensors = 0;
  int64_t other_elements = 0;
};

TEST_CASE("parameter_groups: tensors and elements of every variant equal the reference", "[golden]") {
  const auto expected = GENERATE(values<Count>({{"a", 140, 4'605'580, 234, 43'480},
                                                {"f", 140, 6'437'352, 234, 51'976},
                                                {"p", 140, 11'011'552, 234, 68'968},
                                                {"n", 164, 18'718'680, 274, 100'200},
                                                {"t", 270, 31'537'960, 414, 155'460},
                                                {"s", 333, 56'234'928, 486, 221'776},
                                                {"b", 333, 98'794'048, 486, 295'368},
                                                {"l", 333, 219'633'504, 486, 442'552},
                                                {"xl", 333, 388'101'248, 486, 589'736}}));
  CAPTURE(expected.variant);
  const auto groups = groups_of(expected.variant, 1.0);
  REQUIRE(groups.size() == 2);
  CHECK((groups[0].name == "decay" && groups[0].decays && groups[0].lr_scale == 1.0));
  CHECK((groups[1].name == "no_decay" && !groups[1].decays && groups[1].lr_scale == 1.0));
  CHECK(groups[0].parameters.size() == expected.decay_tensors);
  CHECK(elements_of(groups[0]) == expected.decay_elements);
  CHECK(groups[1].parameters.size() == expected.other_tensors);
  CHECK(elements_of(groups[1]) == expected.other_elements);
  CHECK(groups[0].parameters.front().name == "downsample_layers.0.0.weight");
}

TEST_CASE("parameter_groups: each group keeps the order of the state dict") {
  const double layer_decay = GENERATE(1.0, 0.8);
  auto network = outline("a");
  std::map<std::string, size_t> place;
  for (const auto& [name, value] : models::state_dict(*network)) place.emplace(name, place.size());
  size_t count = 0;
  for (const auto& group : parameter_groups(*network, layer_decay)) {
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      REQUIRE(place.contains(group.parameters[i].name));
      if (i > 0) CHECK(place[group.parameters[i - 1].name] < place[group.parameters[i].name]);
    }
    count += group.parameters.size();
  }
  CHECK(count == network->parameters().size());
}

TEST_CASE("decays: not for vectors, not for biases") {
  const auto vector = at::Tensor(at::empty({4}, at::kMeta)), map = at::empty({1, 1, 1, 4}, at::kMeta);
  CHECK_FALSE(decays("stages.0.0.gamma", vector));
  CHECK_FALSE(decays("norm.weight", vector));
  CHECK_FALSE(decays("head.bias", vector));
  CHECK_FALSE(decays("some.bias", map));
  CHECK(decays("some.weight", map));
  CHECK(decays("some.rebias", map));
  CHECK_FALSE(decays("scale", at::empty({}, at::kMeta)));
}

TEST_CASE("parameter_groups: GRN decays, layer scale and norms do not") {
  const auto groups = groups_of("a", 1.0);
  for (const char* name : {"stages.0.0.act.1.gamma", "stages.0.0.act.1.beta", "head.weight",
                           "stages.3.1.pwconv1.1.weight", "downsample_layers.3.0.weight"}) {
    const auto& group = group_with(groups, name);
    CHECK(group.decays);
  }
  for (const char* name : {"stages.0.0.gamma", "norm.weight", "head.bias", "downsample_layers.0.0.bias",
                           "stages.0.0.norm.weight", "stages.0.0.norm.bias"}) {
    const auto& group = group_with(groups, name);
    CHECK_FALSE(group.decays);
  }
}

TEST_CASE("parameter_groups: what is not trained is left out") {
  auto network = outline("a");
  for (auto& parameter : network->head->parameters()) parameter.set_requires_grad(false);
  for (const auto& group : parameter_groups(*network, 1.0)) {
    for (const auto& parameter : group.parameters) CHECK_FALSE(parameter.name.starts_with("head."));
  }
}

TEST_CASE("layer_id: equals the table of the reference", "[golden]") {
  const std::vector<std::pair<std::string, int64_t>> table{{"downsample_layers.0.0.weight", 0},
                                                           {"downsample_layers.0.3.bias", 0},
                                                           {"stages.0.0.gamma", 1},
                                                           {"stages.0.2.norm.weight", 1},
                                                           {"downsample_layers.1.0.weight", 2},
                                                           {"stages.1.0.gamma", 2},
                                                           {"stages.1.2.gamma", 2},
                                                           {"downsample_layers.2.0.weight", 3},
                                                           {"stages.3.0.gamma", 12},
                                                           {"stages.3.2.gamma", 12},
                                                           {"downsample_layers.3.1.bias", 12},
                                                           {"norm.weight", 13},
                                                           {"norm.bias", 13},
                                                           {"head.weight", 13},
                                                           {"head.bias", 13}};
  for (const auto& [name, id] : table) {
    CAPTURE(name);
    CHECK(layer_id(name) == id);
    CHECK(layer_id("backbone." + name) == id);
  }
  for (int64_t block = 0; block < 27; ++block) {
    CHECK(layer_id("stages.2." + std::to_string(block) + ".dwconv.lk_origin.weight") == 3 + block / 3);
  }
}

TEST_CASE("layer_id: a deeper third stage stays before the fourth") {
  CHECK(layer_id("stages.2.26.gamma") == 11);
  CHECK(layer_id("stages.2.27.gamma") == 11);
  CHECK(layer_id("stages.2.99.gamma") == 11);
}

TEST_CASE("layer_id: a name from outside the backbone belongs to the head") {
  for (const char* name : {"tokenizer.weight", "stages", "stages.x.gamma", "stages.4.0.gamma", "downsample_layers.4.0",
                           "norm0.weight", "decoder.stages.0.gamma", ""}) {
    CAPTURE(name);
    CHECK(layer_id(name) == 13);
  }
}

TEST_CASE("parameter_groups: the last third-stage id of each depth equals the reference", "[golden]") {
  const auto [variant, last] = GENERATE(table<std::string, int64_t>(
      {{"a", 4}, {"f", 4}, {"p", 4}, {"n", 5}, {"t", 8}, {"s", 11}, {"b", 11}, {"l", 11}, {"xl", 11}}));
  CAPTURE(variant);
  int64_t largest = 0;
  for (const auto& parameter : outline(variant)->named_parameters()) {
    if (parameter.key().starts_with("stages.2.")) largest = std::max(largest, layer_id(parameter.key()));
  }
  CHECK(largest == last);
}

TEST_CASE("parameter_groups: layer decay 0.8 gives the reference's factors", "[golden]") {
  const std::vector<double> scales{0.0549756, 0.0687195, 0.0858993, 0.107374, 0.134218, 0.167772, 0.209715,
                                   0.262144,  0.32768,   0.4096,    0.512,    0.64,     0.8,      1.0};
  std::set<size_t> seen;
  for (const auto& group : groups_of("s", 0.8)) {
    const auto id = static_cast<size_t>(layer_id(group.parameters.front().name));
    CAPTURE(group.name);
    CHECK(group.lr_scale == Approx(scales.at(id)).epsilon(1e-5));  // six digits
    seen.insert(id);
  }
  CHECK(seen.size() == scales.size());
}

TEST_CASE("parameter_groups: names, order and sizes by layer equal the reference", "[golden]") {
  const auto groups = groups_of("s", 0.8);
  std::vector<std::string> expected;
  for (const int id : {0, 2, 3, 12}) {
    for (const char* kind : {"decay", "no_decay"}) expected.push_back(format("layer_{}_{}", id, kind));
  }
  for (const int id : {1, 4, 5, 6, 7, 8, 9, 10, 11, 13}) {
    for (const char* kind : {"no_decay", "decay"}) expected.push_back(format("layer_{}_{}", id, kind));
  }
  std::vector<std::string> names;
  for (const auto& group : groups) {
    names.push_back(group.name);
    CHECK(group.decays == !group.name.ends_with("no_decay"));
  }
  CHECK(names == expected);
  CHECK(names.size() == 28);

  const auto sizes = [&](int id) {
    return std::pair(group_named(groups, format("layer_{}_decay", id)).parameters.size(),
                     group_named(groups, format("layer_{}_no_decay", id)).parameters.size());
  };
  using Sizes = std::pair<size_t, size_t>;
  CHECK(sizes(0) == Sizes{2, 6});
  CHECK(sizes(1) == Sizes{21, 24});
  CHECK(sizes(2) == Sizes{37, 63});
  CHECK(sizes(3) == Sizes{27, 39});
  for (int id = 4; id <= 11; ++id) CHECK(sizes(id) == Sizes{26, 36});
  CHECK(sizes(12) == Sizes{37, 63});
  CHECK(sizes(13) == Sizes{1, 3});
}

TEST_CASE("parameter_groups: the larger variants have 28 groups too", "[golden]") {
  for (const char* variant : {"b", "l", "xl"}) CHECK(groups_of(variant, 0.8).size() == 28);
}

}  // namespace
}  // namespace unireplk::train
