#include "unireplk/formats/npy_texts.h"

#include "fuzz/target.h"
#include "unireplk/core/utf8.h"

namespace unireplk::test {
namespace {

/// Past the header: texts, or a mistake behind the first bytes.
bool try_npy_texts(std::span<const std::byte> bytes) {
  const auto texts = formats::parse_npy_texts(bytes, "fuzz.npy");
  if (!texts) return texts.problem().message.find("header") == std::string::npos;
  for (const auto& text : *texts) require(is_utf8(text), "a text that is not UTF-8");
  return true;
}

}  // namespace

const Target kTarget{.try_bytes = try_npy_texts};

}  // namespace unireplk::test
