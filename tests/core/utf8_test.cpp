#include "unireplk/core/utf8.h"

#include "support/catch.h"

namespace unireplk {
namespace {

TEST_CASE("is_utf8: takes every length of character, and its bounds") {
  for (const char* text : {"", "cafe", "caf\xC3\xA9", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    CHECK(is_utf8(text));
  }
}

TEST_CASE("is_utf8: refuses stray, cut, overlong, surrogate and too large characters") {
  for (const char* text : {"caf\xE9", "\x80", "\xC3", "\xC1\xBF", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80",
                           "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    CHECK_FALSE(is_utf8(text));
  }
  CHECK(valid_utf8_prefix("caf\xE9 au lait") == 3);
}

}  // namespace
}  // namespace unireplk
