#include "unireplk/config/dump.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "config/sample_config.h"
#include "support/catch.h"
#include "unireplk/config/parse.h"
#include "unireplk/config/show.h"

using namespace unireplk;
using config::load_text;
using test::parse_sample;
using test::registries;
using test::Sample;

namespace {

Sample full() {
  Sample sample = parse_sample("root: x\noptimizer: {name: adamw, inner: {name: sgd}}\nsources: [{name: sgd}, null]");
  sample.flag = true;
  sample.count = std::numeric_limits<int64_t>::min();
  sample.small = 255;
  sample.seed = std::numeric_limits<uint64_t>::max();
  sample.lr = 0.1 + 0.2;
  sample.title = "yes: \"a\" #b\n\ttab \\ é \x01";
  sample.root = "/data/with space";
  sample.precision = test::Precision::kBf16;
  sample.limit = 5;
  sample.sizes = {1, 2, 3};
  sample.betas = {std::numeric_limits<double>::denorm_min(), 1e-5};
  sample.scales = {{"null", 1e300}, {"a b", -2}, {"1", 1.0 / 3}};
  sample.list = {{.depth = 1, .width = 2}, {.depth = 3, .width = 4}};
  return sample;
}

}  // namespace

TEST_CASE("dump: parsing it gives an equal value, for YAML and JSON") {
  const Sample sample = full();
  for (const auto& text : {config::dump(sample), config::to_json(sample)}) {
    INFO(text);
    const Sample again = parse_sample(text);
    CHECK(config::diff(sample, again).empty());
    CHECK(again.count == sample.count);
    CHECK(again.seed == sample.seed);
    CHECK(again.lr == sample.lr);
    CHECK(again.title == sample.title);
    CHECK(again.betas == sample.betas);
    CHECK(again.scales == sample.scales);
    CHECK(again.limit == sample.limit);
    CHECK(again.list[1].width == 4);
    CHECK(again.sources[1].empty());
    CHECK(config::dump(again) == config::dump(sample));
  }
}

TEST_CASE("dump: YAML is readable") {
  const std::string expected = R"(flag: false
count: 0
small: 1
seed: 0
lr: 0.001
title: ""
root: x
precision: fp32
limit: null
sizes: []
betas: [0.9, 0.99]
scales: {}
inner:
  depth: 2
  width: 8
list:
  - depth: 1
    width: 8
optimizer:
  name: sgd
  momentum: 0.9
second: null
sources: []
)";
  CHECK(config::dump(parse_sample("root: x\nlist: [{depth: 1}]")) == expected);
}

TEST_CASE("dump: JSON is JSON, numbers stay numbers") {
  const auto json = nlohmann::json::parse(config::to_json(full()));
  CHECK(json["lr"].get<double>() == 0.1 + 0.2);
  CHECK(json["seed"].get<uint64_t>() == std::numeric_limits<uint64_t>::max());
  CHECK(json["optimizer"]["inner"]["name"] == "sgd");
}

TEST_CASE("dump: refuses what no file can carry") {
  Sample sample = full();
  sample.lr = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(config::dump(sample), ContractError);
}

TEST_CASE("show: says where each value comes from") {
  const auto tree = load_text("root: x\ninner: {depth: 1}\nlist:\n  - width: 3\n", "dir/a.yaml", {"inner.width=4"});
  const auto text = config::show(config::parse<Sample>(tree, registries()), tree);
  const std::string expected = R"(inner:
  depth: 1  # dir/a.yaml:2:16
  width: 4  # command line
list:
  - depth: 2  # default
    width: 3  # dir/a.yaml:4:12
optimizer:
  name: sgd  # default
  momentum: 0.9  # default
)";
  INFO(text);
  CHECK(text.find("root: x  # dir/a.yaml:1:7\n") != std::string::npos);
  CHECK(text.find("betas: [0.9, 0.99]  # default\n") != std::string::npos);
  CHECK(text.find(expected) != std::string::npos);
  CHECK(
      config::diff(parse_sample(text), parse_sample(config::dump(config::parse<Sample>(tree, registries())))).empty());
}

TEST_CASE("diff: names the keys that differ, with both values") {
  const Sample a = parse_sample("root: x\nlist: [{depth: 1}, {depth: 2}]\nsizes: [1]");
  const Sample b =
      parse_sample("root: y\nlist: [{depth: 1}, {depth: 3}]\nsizes: [1, 2]\noptimizer: {name: adamw}\nlimit: 3");
  const auto differences = config::diff(a, b);
  std::vector<std::string> keys;
  for (const auto& difference : differences) keys.push_back(difference.key);
  CHECK(keys == std::vector<std::string>{"root", "limit", "sizes", "list[1].depth", "optimizer.name",
                                         "optimizer.momentum", "optimizer.lr", "optimizer.inner"});
  CHECK(differences[0] == config::Difference{"root", "\"x\"", "\"y\""});
  CHECK(differences[2] == config::Difference{"sizes", "[1]", "[1,2]"});
  CHECK(differences[5].after.empty());
  CHECK(config::diff(a, a).empty());
}
