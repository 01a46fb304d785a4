#include "unireplk/config/parse.h"

#include "config/sample_config.h"
#include "support/catch.h"

using namespace unireplk;
using config::load_text;
using test::messages;
using test::Optimizer;
using test::parse_sample;
using test::registries;
using test::Sample;

namespace {

std::vector<std::string> problems(const std::string& yaml) {
  return messages([&] { parse_sample(yaml); });
}

struct Outer {
  test::Inner inner;

  static void fields(auto& self, auto&& visit) { visit("inner", self.inner, "A nested struct."); }
  void validate(config::Problems& found) const {
    if (inner.width == 9) found.add("inner.width", "expected anything but 9");
  }
};

}  // namespace

TEST_CASE("parse: defaults stay where a key is absent") {
  const Sample sample = parse_sample("root: data");
  CHECK(sample.lr == 1e-3);
  CHECK(sample.root == "data");
  CHECK(sample.optimizer.name() == "sgd");
  CHECK(sample.optimizer.config<test::SgdConfig>().momentum == 0.9);
  CHECK(sample.second.empty());
}

TEST_CASE("parse: a struct may blame a field of a struct within, at its place") {
  const auto blamed = [](const std::string& yaml) {
    return messages([&] { config::parse<Outer>(load_text(yaml, "a.yaml"), config::Registries()); });
  };
  CHECK(blamed("inner:\n  width: 9") == std::vector<std::string>{"a.yaml:2:10: inner.width: expected anything but 9."});
  CHECK(blamed("inner: {}").empty());
}

TEST_CASE("parse: every member type") {
  const Sample sample = parse_sample(R"(
flag: true
count: -3
small: 7
seed: 18446744073709551615
lr: 1e-3
title: no
root: ../data
precision: bf16
limit: 4
sizes: [1, 2]
betas: [0.9, 0.999]
scales: {a: 1.5, b: 2}
inner: {depth: 3}
list: [{depth: 1}, {depth: 2}]
optimizer: {name: adamw, lr: .5}
sources: [{name: sgd}, {name: adamw}]
)");
  CHECK(sample.flag);
  CHECK(sample.count == -3);
  CHECK(sample.small == 7);
  CHECK(sample.seed == 18446744073709551615u);
  CHECK(sample.lr == 1e-3);
  CHECK(sample.title == "no");
  CHECK(sample.precision == test::Precision::kBf16);
  CHECK(sample.limit == 4);
  CHECK(sample.sizes == std::vector<int64_t>{1, 2});
  CHECK(sample.betas == std::array{0.9, 0.999});
  CHECK(sample.scales.at("b") == 2.0);
  CHECK(sample.inner.depth == 3);
  REQUIRE(sample.list.size() == 2);
  CHECK(sample.list[1].depth == 2);
  CHECK(sample.optimizer.make(2.0) == "adamw 1");
  REQUIRE(sample.sources.size() == 2);
  CHECK(sample.sources[1].config<test::AdamWConfig>().lr == 1e-3);
}

TEST_CASE("parse: ten mistakes, ten located messages") {
  const auto found = problems(R"(flag: yes
count: 1.5
small: 300
lr: 1e-3x
root: ""
precision: fp23
sizes: [1, x]
betas: [0.9]
inner: {detph: 3}
optimizer: {name: adam}
)");
  const std::vector<std::string> expected = {
      R"(a.yaml:1:7: flag: expected true or false, got "yes". Write true.)",
      R"(a.yaml:2:8: count: expected an integer, got 1.5.)",
      R"(a.yaml:3:8: small: expected an integer, got 300. The most is 255, the least 0.)",
      R"(a.yaml:4:5: lr: expected a number > 0, got "1e-3x". Write 0.001 or 1.0e-3.)",
      R"(a.yaml:5:7: root: expected a text that is not empty, got "".)",
      R"(a.yaml:6:12: precision: expected one of fp32, bf16, got "fp23". Did you mean "fp32"?)",
      R"(a.yaml:7:12: sizes[1]: expected an integer >= 1, got "x".)",
      R"(a.yaml:8:8: betas: expected a list of 2 values, got 1.)",
      R"(a.yaml:9:9: inner.detph: unknown key. Did you mean "depth"? Known: depth, width.)",
      R"(a.yaml:10:19: optimizer.name: no optimizer "adam". Did you mean "adamw"? Known: adamw, sgd.)",
  };
  CHECK(found == expected);
}

TEST_CASE("parse: required keys") {
  CHECK(problems("lr: 1") == std::vector<std::string>{"a.yaml:1:1: root: required, but missing. Folder of the data."});
  CHECK(problems("") == std::vector<std::string>{"a.yaml:1:1: root: required, but missing. Folder of the data."});
  CHECK(problems("root: x\noptimizer: {lr: 1}") ==
        std::vector<std::string>{R"(a.yaml:2:13: optimizer.lr: unknown key. Known: momentum, name.)"});
  CHECK(problems("root: x\nsecond: {lr: 1}") ==
        std::vector<std::string>{"a.yaml:2:9: second.name: required, but missing. Known names: sgd, adamw."});
}

TEST_CASE("parse: cross-checks run on good fields only and point at the field") {
  CHECK(problems("root: x\ninner: {depth: 9, width: 1}") ==
        std::vector<std::string>{"a.yaml:2:16: inner.depth: expected at most width (1), got 9. Raise width."});
  CHECK(problems("root: x\ninner: {depth: 9, width: -1}").size() == 1);
}

TEST_CASE("parse: strict about numbers") {
  for (const char* text :
       {"nan", ".nan", ".inf", "-.inf", "0x10", "1e999", "1_000", "1:30", "\"1\"", "", "[1]", "{}"}) {
    INFO(text);
    CHECK(problems(std::string("root: x\nlr: ") + text).size() == 1);
  }
  for (const char* text : {"1", "+1", "1.", ".5", "1e-3", "1.0E+2", "007"}) {
    INFO(text);
    CHECK(problems(std::string("root: x\nlr: ") + text).empty());
  }
  for (const char* text :
       {"1.0", "1e3", "010", "9223372036854775808", "-9223372036854775809", "true", "\"1\"", "0x1"}) {
    INFO(text);
    CHECK(problems(std::string("root: x\ncount: ") + text).size() == 1);
  }
  CHECK(problems("root: x\nseed: -1") ==
        std::vector<std::string>{"a.yaml:2:7: seed: expected an integer, got -1. The most is 18446744073709551615, the "
                                 "least 0."});
  CHECK(problems("root: x\ncount: 1e3") ==
        std::vector<std::string>{"a.yaml:2:8: count: expected an integer, got 1e3. Write 1000."});
  CHECK(problems("root: x\nlr: 0,5") ==
        std::vector<std::string>{"a.yaml:2:5: lr: expected a number > 0, got \"0,5\". Write 0.5."});
}

TEST_CASE("parse: null resets an optional and is refused elsewhere") {
  CHECK_FALSE(parse_sample("root: x\nlimit: null").limit);
  CHECK_FALSE(parse_sample("root: x\nlimit:").limit);
  CHECK(problems("root: x\ninner:") ==
        std::vector<std::string>{
            "a.yaml:2:1: inner: expected a map of keys, got nothing. Remove the key or give it a value."});
  CHECK(parse_sample("root: x\noptimizer: null").optimizer.empty());
}

TEST_CASE("parse: a choice written as a text says how to write it") {
  CHECK(problems("root: x\noptimizer: sgd") ==
        std::vector<std::string>{
            "a.yaml:2:12: optimizer: expected a map that names an optimizer, got \"sgd\". Write {name: sgd}."});
}

TEST_CASE("parse: a choice may nest itself") {
  const Sample sample =
      parse_sample("root: x\noptimizer: {name: adamw, inner: {name: adamw, inner: {name: sgd, momentum: 0.5}}}");
  const auto& outer = sample.optimizer.config<test::AdamWConfig>();
  CHECK(outer.inner.config<test::AdamWConfig>().inner.config<test::SgdConfig>().momentum == 0.5);
}

TEST_CASE("parse: thousands of mistakes are cut short") {
  std::string text = "root: x\n";
  for (int i = 0; i < 5000; ++i) text += format("k{}: 1\n", i);
  const auto found = problems(text);
  REQUIRE(found.size() == 101);
  CHECK(found.back() == "4900 more mistakes.");
}

namespace {

using Loop = config::Choice<int()>;

struct LoopConfig {
  Loop inner{"loop"};
  static void fields(auto& self, auto&& visit) { visit("inner", self.inner, "Itself."); }
};

}  // namespace

TEST_CASE("parse: a default choice that contains itself is a mistake of the program") {
  config::Registry<int()> loops{"loop"};
  loops.add<LoopConfig>("loop", "Turns.", [](const LoopConfig&) { return 1; });
  config::Registries all;
  all.add(std::move(loops));
  CHECK_THROWS_AS(config::parse<LoopConfig>(load_text("", "a.yaml"), all), ContractError);
}

namespace {

struct Demands {
  int64_t classes = 0;
  std::vector<std::string> names;
  std::map<std::string, int32_t> sizes;
  std::string mode = "a";
  Optimizer optimizer;
  double lr = 1;
  std::optional<double> ema;

  static void fields(auto& self, auto&& visit) {
    visit("classes", self.classes, config::positive, "Number of classes.");
    visit("names", self.names, config::non_empty, "Names.");
    visit("sizes", self.sizes, config::between(1, 9), "Sizes.");
    visit("mode", self.mode, config::one_of({"alpha", "beta"}), "Mode.");
    visit("optimizer", self.optimizer, config::required, "Optimizer.");
    visit("lr", self.lr, config::required & config::positive, "Rate.");
    visit("ema", self.ema, config::below_one, "Decay.");
  }
};

std::vector<std::string> demands(const std::string& yaml) {
  return messages([&] { config::parse<Demands>(load_text(yaml, "a.yaml"), registries()); });
}

}  // namespace

TEST_CASE("parse: a key whose default breaks its constraint must be given") {
  CHECK(demands("{}") == std::vector<std::string>{"a.yaml:1:1: classes: required, but missing. Number of classes.",
                                                  "a.yaml:1:1: names: required, but missing. Names.",
                                                  "a.yaml:1:1: mode: required, but missing. Mode.",
                                                  "a.yaml:1:1: optimizer: required, but missing. Optimizer.",
                                                  "a.yaml:1:1: lr: required, but missing. Rate."});
}

TEST_CASE("parse: constraints hold for the elements of lists, maps and optionals") {
  CHECK(demands(R"(classes: 0
names: []
sizes: {a: 3, b: 10}
mode: alfa
optimizer:
lr: 0
ema: 1
)") == std::vector<std::string>{
           "a.yaml:1:10: classes: expected an integer > 0, got 0.",
           "a.yaml:2:8: names: expected a list that is not empty, got [].",
           "a.yaml:3:18: sizes.b: expected an integer in [1, 9], got 10.",
           R"(a.yaml:4:7: mode: expected one of alpha, beta, got "alfa". Did you mean "alpha"?)",
           "a.yaml:5:1: optimizer: expected a map that names an optimizer, got nothing. Known names: "
           "sgd, adamw.",
           "a.yaml:6:5: lr: expected a number > 0, got 0.",
           "a.yaml:7:6: ema: expected a number in [0, 1), got 1.",
       });
  CHECK(demands("classes: 1\nnames: [a, \"\"]\nmode: beta\noptimizer: {name: sgd}\nlr: 1") ==
        std::vector<std::string>{"a.yaml:2:12: names[1]: expected a text that is not empty, got \"\"."});
}
