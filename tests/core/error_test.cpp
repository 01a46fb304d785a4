#include "unireplk/core/error.h"

#include "support/catch.h"
#include "unireplk/core/result.h"

using namespace unireplk;

TEST_CASE("Problem: reads as place, message, cure") {
  CHECK(Problem{"a.yaml:3:5: lr", "expected a number > 0, got \"x\"", "Write 0.1."}.text() ==
        "a.yaml:3:5: lr: expected a number > 0, got \"x\". Write 0.1.");
  CHECK(Problem{"", "no space left.", ""}.text() == "no space left.");
  CHECK(Problem{"model.nmae", "unknown key. Did you mean \"name\"?", ""}.text() ==
        "model.nmae: unknown key. Did you mean \"name\"?");
}

TEST_CASE("place_of: leaves out what is unknown") {
  CHECK(place_of("a.csv") == "a.csv");
  CHECK(place_of("a.csv", 7) == "a.csv:7");
  CHECK(place_of("a.csv", 7, 2) == "a.csv:7:2");
}

TEST_CASE("UserError: tells every problem, one a line") {
  const UserError error(std::vector<Problem>{{"a", "first", ""}, {"b", "second", ""}});
  CHECK(std::string(error.what()) == "a: first.\nb: second.");
  CHECK(error.problems().size() == 2);
}

TEST_CASE("UNIREPLK_CHECK: throws with the message and the condition") {
  const int count = 3;
  CHECK_THROWS_AS([&] { UNIREPLK_CHECK(count == 2, "count must be 2, got {}", count); }(), ContractError);
  CHECK_THROWS_WITH([&] { UNIREPLK_CHECK(count == 2, "count must be 2, got {}", count); }(),
                    Catch::StartsWith("count must be 2, got 3 (count == 2 failed at "));
}

TEST_CASE("Result: holds a value or a problem, and never confuses them") {
  const Result<int> good = 5;
  CHECK(good.has_value());
  CHECK(*good == 5);
  Result<int> bad = Problem{"file", "broken", ""};
  CHECK_FALSE(bad);
  CHECK(bad.problem().message == "broken");
  CHECK_THROWS_AS(bad.value(), ContractError);
  CHECK_THROWS_AS(std::move(bad).value_or_throw(), UserError);
}
