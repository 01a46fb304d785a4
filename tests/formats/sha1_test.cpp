#include "unireplk/formats/sha1.h"

#include <string>

#include "support/catch.h"
#include "unireplk/core/format.h"

namespace unireplk::formats {
namespace {

std::string digest_of(const std::string& text) {
  std::string hex;
  for (const auto byte : sha1_of(std::as_bytes(std::span(text)))) hex += format("{:02x}", std::to_integer<int>(byte));
  return hex;
}

TEST_CASE("sha1: the digests of FIPS 180") {
  CHECK(digest_of("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  CHECK(digest_of("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(digest_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  CHECK(digest_of(std::string(1000000, 'a')) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

}  // namespace
}  // namespace unireplk::formats
