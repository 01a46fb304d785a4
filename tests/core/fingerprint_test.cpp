#include "unireplk/core/fingerprint.h"

#include "support/catch.h"

using namespace unireplk;

TEST_CASE("fnv1a: equals the published values") {
  CHECK(fnv1a("") == 0xcbf29ce484222325u);
  CHECK(fnv1a("a") == 0xaf63dc4c8601ec8cu);
  CHECK(fnv1a("foobar") == 0x85944171f73967e8u);
  CHECK(fnv1a("bar", fnv1a("foo")) == fnv1a("foobar"));
}

TEST_CASE("Fingerprint: tells where one text ends and the next begins") {
  const auto of = [](std::string_view first, std::string_view second) {
    Fingerprint print;
    print.add(first);
    print.add(second);
    return print.value();
  };
  CHECK(of("ab", "c") == of("ab", "c"));
  CHECK(of("ab", "c") != of("a", "bc"));
  CHECK(of("ab", "") != of("", "ab"));
}
