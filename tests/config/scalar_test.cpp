#include "unireplk/config/scalar.h"

#include <cmath>
#include <limits>

#include "support/catch.h"
#include "unireplk/config/constraints.h"
#include "unireplk/config/text.h"
#include "unireplk/core/error.h"

using namespace unireplk;
using namespace unireplk::config;

TEST_CASE("write_number: reads back as the same double, always a float") {
  CHECK(write_number(1) == "1.0");
  CHECK(write_number(0.1) == "0.1");
  CHECK(write_number(1e-5) == "1.0e-05");
  CHECK(write_number(1e22) == "1.0e+22");
  for (const double value : {0.1 + 0.2, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 123456789.0, 1e16}) {
    const auto again = read_number(write_number(value));
    REQUIRE(again);
    CHECK(*again == value);
    CHECK(std::signbit(*again) == std::signbit(value));
  }
}

TEST_CASE("read_integer: the whole range of 64 bits and nothing beyond") {
  CHECK(read_integer("18446744073709551615") == Scalar(std::numeric_limits<uint64_t>::max()));
  CHECK(read_integer("-9223372036854775808") == Scalar(std::numeric_limits<int64_t>::min()));
  CHECK(read_integer("0") == Scalar(uint64_t{0}));
  for (const char* text : {"18446744073709551616", "-9223372036854775809", "", "-", "+", "1 ", "01", "-01", "1e1"}) {
    INFO(text);
    CHECK_FALSE(read_integer(text));
  }
}

TEST_CASE("number_cure: says how to write it, or nothing") {
  CHECK(number_cure("1e-3x") == "Write 0.001 or 1.0e-3.");
  CHECK(number_cure("2.5e4s") == "Write 25000 or 2.5e4.");
  CHECK(number_cure("12px") == "Write 12.");
  CHECK(number_cure("1_000") == "Write 1000.");
  CHECK(number_cure("0,5") == "Write 0.5.");
  CHECK(number_cure("abc").empty());
  CHECK(number_cure("").empty());
  CHECK(number_cure("1:30").empty());
}

TEST_CASE("excerpt: short, printable, whole characters") {
  CHECK(excerpt("a\n\x01") == R"("a\n\u0001")");
  const std::string cut = excerpt(std::string(59, 'x') + "éé");
  CHECK(cut == '"' + std::string(59, 'x') + "...\"");
  CHECK(excerpt("\xff\xfe").size() < 20);
}

TEST_CASE("range: text and limits") {
  CHECK(positive.text() == "> 0");
  CHECK(at_least(1).text() == ">= 1");
  CHECK(below_one.text() == "in [0, 1)");
  CHECK(Range{.high = 2.5}.text() == "<= 2.5");
  CHECK(Range{}.text().empty());
  CHECK_FALSE(positive.holds(0));
  CHECK(non_negative.holds(0));
  CHECK_FALSE(below_one.holds(1));
  CHECK_FALSE(Range{}.holds(std::nan("")));
  CHECK_THROWS_AS(Constraint(positive) & fraction, ContractError);
}

TEST_CASE("suggestion: names the nearest only when it is near") {
  CHECK(suggestion("nmae", {"width", "name", "depth"}) == R"(Did you mean "name"? Known: depth, name, width.)");
  CHECK(suggestion("xyz", {"name"}) == "Known: name.");
  CHECK(nearest(std::string(100000, 'x'), {"x"}).empty());
}
