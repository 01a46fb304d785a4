#include "unireplk/formats/npy_texts.h"

#include <span>

#include "support/catch.h"

namespace unireplk::formats {
namespace {

using Catch::Matchers::Contains;
using Texts = std::vector<std::string>;

/// A file of version 1.
std::string npy(const std::string& type, const std::string& shape, const std::string& data) {
  std::string header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
  std::string out = "\x93NUMPY";
  out += '\x01';
  out += '\0';
  out += static_cast<char>(header.size());
  out += '\0';
  return out + header + data;
}

std::string wide(const std::string& text, bool big_endian) {
  std::string out;
  for (const char c : text) out += big_endian ? std::string(3, '\0') + c : c + std::string(3, '\0');
  return out;
}

Result<Texts> parsed_texts(const std::string& file) { return parse_npy_texts(std::as_bytes(std::span(file)), "t.npy"); }

std::string refusal(const std::string& file) {
  const auto parsed = parsed_texts(file);
  REQUIRE_FALSE(parsed);
  return parsed.problem().text();
}

std::string pickled_text(const std::string& value) {
  return std::string("\x8c") + static_cast<char>(value.size()) + value;
}

/// What numpy.save writes of an array of two objects, protocol 4.
std::string pickled(const std::string& module, const std::string& first, const std::string& second) {
  std::string out = std::string("\x80\x04") + pickled_text(module) + pickled_text("_reconstruct") + "\x93" +
                    pickled_text("numpy") + pickled_text("ndarray") + "\x93";
  out += std::string("K\0\x85", 3) + "C\x01" + "b" + "\x87R(K\x01K\x02\x85" + pickled_text("numpy") +
         pickled_text("dtype") + "\x93";
  out += pickled_text("O8") + "\x89\x88\x87R(K\x03" + pickled_text("|") + "NNN";
  out += std::string("J\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]", 16);
  return out + "(" + first + second + "etb.";
}

}  // namespace

TEST_CASE("npy texts: fixed width, either byte order, bytes") {
  CHECK(*parsed_texts(npy("<U3", "(2,)", wide("abc", false) + wide(std::string("d\0\0", 3), false))) ==
        Texts{"abc", "d"});
  CHECK(*parsed_texts(npy(">U3", "(1,)", wide("abc", true))) == Texts{"abc"});
  CHECK(*parsed_texts(npy("|S4", "(2,)", std::string("2019\x32\x30\0\0", 8))) == Texts{"2019", "20"});
  CHECK(*parsed_texts(npy("<U1", "(1,)", std::string("\xB0\0\0\0", 4))) == Texts{"\xC2\xB0"});
  CHECK(parsed_texts(npy("<U3", "(0,)", ""))->empty());
}

TEST_CASE("npy texts: objects that NumPy pickled, of old and new versions") {
  const auto module = GENERATE(as<std::string>(), "numpy.core.multiarray", "numpy._core.multiarray");
  const auto file = npy("|O", "(2,)", pickled(module, pickled_text("2019-01-01 00:00:00"), pickled_text("x")));
  const auto texts = parsed_texts(file);
  INFO((texts ? "" : texts.problem().text()));
  REQUIRE(texts);
  CHECK(*texts == Texts{"2019-01-01 00:00:00", "x"});
}

TEST_CASE("npy texts: what is none is refused with a reason") {
  CHECK_THAT(refusal(npy("<f4", "(1,)", "abcd")), Contains("t.npy: expected texts, got numpy type \"<f4\""));
  CHECK_THAT(refusal(npy("<U3", "(1, 1)", wide("abc", false))),
             Contains("expected one row of texts, got 2 dimensions"));
  CHECK_THAT(refusal(npy("<U3", "(2,)", wide("abc", false))), Contains("expected 2 texts of 12 bytes, got 12 bytes"));
  CHECK_THAT(refusal(npy("<U99999", "(0,)", "")), Contains("expected texts of 1 to 4096 bytes"));
  CHECK_THAT(refusal(npy("<U4611686018427387905", "(1,)", wide("a", false))),  // 2^62 + 1: four times it is 4
             Contains("expected texts of 1 to 4096 bytes"));
  CHECK_THAT(refusal(npy("<U1", "(1,)", std::string("\0\xD8\0\0", 4))), Contains("what is no character"));
  CHECK_THAT(refusal(npy("|S2", "(1,)", "\xff\xfe")), Contains("not UTF-8"));
  CHECK_THAT(refusal(npy("|O", "(2,)", pickled("os", pickled_text("a"), pickled_text("b")))),
             Contains("os._reconstruct"));
  CHECK_THAT(refusal(npy("|O", "(2,)", pickled("numpy.core.multiarray", pickled_text("a"), "K\x01"))),
             Contains("expected texts, got"));
  CHECK_THAT(refusal(npy("|O", "(3,)", pickled("numpy.core.multiarray", pickled_text("a"), pickled_text("b")))),
             Contains("expected 3 objects, got 2"));
  CHECK_THAT(refusal(npy("|O", "(1,)", "\x80\x04K\x01.")), Contains("no array of objects"));
}

}  // namespace unireplk::formats
