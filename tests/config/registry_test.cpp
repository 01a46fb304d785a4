#include "unireplk/config/registry.h"

#include "config/sample_config.h"
#include "support/catch.h"

using namespace unireplk;
using config::Choice;
using config::Registry;

namespace {

using Signature = std::string(double);

struct Named {
  std::string name;
  static void fields(auto& self, auto&& visit) { visit("name", self.name, "Clashes."); }
};

}  // namespace

TEST_CASE("registry: refuses a name twice and a config with a field `name`") {
  Registry<Signature> registry{"thing"};
  const auto make = [](const config::Empty&, double) { return std::string(); };
  registry.add<config::Empty>("a", "An a.", make);
  CHECK_THROWS_AS(registry.add<config::Empty>("a", "Again.", make), ContractError);
  CHECK_THROWS_AS(registry.add<Named>("b", "A b.", [](const Named&, double) { return std::string(); }), ContractError);
  REQUIRE(registry.entries().size() == 1);
  CHECK(registry.entries()[0]->help == "An a.");
}

TEST_CASE("registries: one of each signature") {
  auto all = test::registries();
  CHECK(all.get<Signature>().names() == std::vector<std::string>{"sgd", "adamw"});
  CHECK_THROWS_AS(all.add(Registry<Signature>{"twin"}), ContractError);
  CHECK_THROWS_AS(all.get<int()>(), ContractError);
}

TEST_CASE("choice: made in code, it outlives its registry") {
  test::Optimizer choice;
  CHECK(choice.empty());
  CHECK_THROWS_AS(choice.make(1.0), ContractError);
  {
    const auto all = test::registries();
    choice = test::Optimizer::of(all.get<Signature>(), "sgd", test::SgdConfig{.momentum = 0.5});
    CHECK_THROWS_AS(test::Optimizer::of(all.get<Signature>(), "sgd", test::AdamWConfig{}), ContractError);
    CHECK_THROWS_AS(test::Optimizer::of(all.get<Signature>(), "none", test::SgdConfig{}), ContractError);
  }
  CHECK(choice.name() == "sgd");
  CHECK(choice.make(2.0) == "sgd 1");
  CHECK(choice.config<test::SgdConfig>().momentum == 0.5);
  CHECK_THROWS_AS(choice.config<test::AdamWConfig>(), ContractError);
  CHECK(choice.config_if<test::SgdConfig>() == &choice.config<test::SgdConfig>());
  CHECK(choice.config_if<test::AdamWConfig>() == nullptr);
  CHECK(test::Optimizer().config_if<test::SgdConfig>() == nullptr);
}

TEST_CASE("choice: hands arguments on, references and moves included") {
  Registry<std::unique_ptr<int>(std::unique_ptr<int>, const int&)> registry{"sum"};
  registry.add<config::Empty>("sum", "Adds.", [](const config::Empty&, std::unique_ptr<int> a, const int& b) {
    *a += b;
    return a;
  });
  const auto choice =
      Choice<std::unique_ptr<int>(std::unique_ptr<int>, const int&)>::of(registry, "sum", config::Empty{});
  const int two = 2;
  CHECK(*choice.make(std::make_unique<int>(40), two) == 42);
}
