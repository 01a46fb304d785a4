#include "unireplk/core/some_of.h"

#include "support/catch.h"

using namespace unireplk;

TEST_CASE("some_of: names five, and counts the rest") {
  CHECK(some_of({}).empty());
  CHECK(some_of({"a"}) == "a");
  CHECK(some_of({"a", "b", "c", "d", "e"}) == "a, b, c, d, e");
  CHECK(some_of({"a", "b", "c", "d", "e", "f", "g"}) == "a, b, c, d, e and 2 more");
}
