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

TEST_CASE("append_utf8: the shortest form of every character, and nothing for what is none") {
  const auto text_of = [](uint32_t code) {
    std::string text;
    CHECK(append_utf8(text, code));
    return text;
  };
  CHECK(text_of('a') == "a");
  CHECK(text_of(0x7F) == "\x7F");
  CHECK(text_of(0x80) == "\xC2\x80");
  CHECK(text_of(0x7FF) == "\xDF\xBF");
  CHECK(text_of(0x800) == "\xE0\xA0\x80");
  CHECK(text_of(0xD7FF) == "\xED\x9F\xBF");
  CHECK(text_of(0xE000) == "\xEE\x80\x80");
  CHECK(text_of(0x10000) == "\xF0\x90\x80\x80");
  CHECK(text_of(0x10FFFF) == "\xF4\x8F\xBF\xBF");
  std::string text = "a";
  for (const uint32_t code : {0xD800U, 0xDFFFU, 0x110000U, 0xFFFFFFFFU}) CHECK_FALSE(append_utf8(text, code));
  CHECK(text == "a");
}

}  // namespace
}  // namespace unireplk
