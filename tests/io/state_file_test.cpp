#include "unireplk/io/state_file.h"

#include <ATen/ATen.h>

#include <bit>
#include <cmath>
#include <limits>

#include "support/catch.h"
#include "unireplk/core/error.h"

using namespace unireplk;
using namespace unireplk::io;

namespace {

StateBuffer reread(const StateBuffer& state) {
  return StateBuffer::from(state.tensors(), state.scalars_json(), "state.json");
}

StateBuffer parse(const std::string& json) { return StateBuffer::from({}, json, "state.json"); }

}  // namespace

TEST_CASE("StateBuffer: numbers come back bit by bit") {
  using Limits = std::numeric_limits<double>;
  const std::vector<double> values{0.0,
                                   -0.0,
                                   0.1,
                                   1.0 / 3,
                                   3.0,
                                   1e22,
                                   1e300,
                                   Limits::min(),
                                   Limits::denorm_min(),
                                   Limits::max(),
                                   Limits::lowest(),
                                   Limits::infinity(),
                                   -Limits::infinity(),
                                   Limits::quiet_NaN(),
                                   std::bit_cast<double>(uint64_t{0xfff8000000001234}),
                                   9007199254740993.0};
  StateBuffer state;
  for (size_t i = 0; i < values.size(); ++i) state.number(std::to_string(i), values[i]);
  const StateBuffer read = reread(state);
  for (size_t i = 0; i < values.size(); ++i) {
    INFO(values[i]);
    CHECK(std::bit_cast<uint64_t>(read.number(std::to_string(i))) == std::bit_cast<uint64_t>(values[i]));
  }
}

TEST_CASE("StateBuffer: integers and texts come back, also beyond 2^53") {
  StateBuffer state;
  const std::vector<int64_t> values{0, -1, (int64_t{1} << 53) + 1, std::numeric_limits<int64_t>::max(),
                                    std::numeric_limits<int64_t>::min()};
  for (size_t i = 0; i < values.size(); ++i) state.integer(std::to_string(i), values[i]);
  state.text("name", "Größe \"x\"\n");
  const StateBuffer read = reread(state);
  for (size_t i = 0; i < values.size(); ++i) CHECK(read.integer(std::to_string(i)) == values[i]);
  CHECK(read.text("name") == "Größe \"x\"\n");
}

TEST_CASE("StateBuffer: tensors are copies, detached and dense") {
  at::Tensor value = at::ones({2, 3}).t().set_requires_grad(true);
  StateBuffer state;
  CHECK_FALSE(state.has_tensors());
  state.tensor("w", value);
  value.detach().zero_();
  CHECK(state.has_tensors());
  const at::Tensor read = reread(state).tensor("w");
  CHECK(read.sum().item<float>() == 6.0f);
  CHECK(read.is_contiguous());
  CHECK_FALSE(read.requires_grad());
}

TEST_CASE("StateBuffer: asks for what is not there or of another type") {
  StateBuffer state;
  state.number("lr", 3.0);
  state.tensor("w", at::ones({1}));
  const StateBuffer read = reread(state);
  CHECK(read.has("lr"));
  CHECK_FALSE(read.has("momentum"));
  CHECK_THROWS_AS(read.number("momentum"), UserError);
  CHECK_THROWS_WITH(read.number("momentum"),
                    Catch::StartsWith("state.json: \"momentum\": expected a number, got nothing"));
  CHECK_THROWS_WITH(read.integer("lr"), Catch::Contains("\"lr\": expected an integer, got another type"));
  CHECK_THROWS_WITH(read.text("w"), Catch::Contains("expected a text, got a tensor"));
  CHECK_THROWS_WITH(read.tensor("lr"), Catch::Contains("expected a tensor, got a scalar"));
}

TEST_CASE("StateBuffer: refuses a key twice and text that is not UTF-8") {
  StateBuffer state;
  state.number("a", 1.0);
  CHECK_THROWS_AS(state.integer("a", 1), ContractError);
  CHECK_THROWS_AS(state.tensor("a", at::ones({1})), ContractError);
  CHECK_THROWS_WITH(state.text("b", "\xff"), Catch::Contains("not UTF-8"));
}

TEST_CASE("StateBuffer: malformed JSON is a UserError that names the file") {
  for (const std::string json : {"", "{", "[]", "3", R"({"a":1,"a":2})", R"({"a":null})", R"({"a":true})",
                                 R"({"a":[1]})", R"({"a":18446744073709551615})", R"({"a":{"float64_bits":"zz"}})",
                                 R"({"a":{"float64_bits":"7ff000000000000"}})", R"({"a":{"b":{"c":{"d":1}}}})"}) {
    INFO(json);
    CHECK_THROWS_AS(parse(json), UserError);
    CHECK_THROWS_WITH(parse(json), Catch::StartsWith("state.json: "));
  }
  TensorFile tensors;
  tensors.tensors.emplace_back("a", at::ones({1}));
  CHECK_THROWS_WITH(StateBuffer::from(tensors, R"({"a":1})", "state.json"),
                    Catch::Contains("both a tensor and a scalar"));
}
