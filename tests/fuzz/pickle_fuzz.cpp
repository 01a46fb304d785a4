#include "unireplk/formats/pickle.h"

#include "fuzz/target.h"

namespace unireplk::test {
namespace {

/// Every name is allowed, so that none stops a search. Past the header: the pickle begins with a protocol that is read.
bool try_pickle(std::span<const std::byte> bytes) {
  const auto pickle = formats::parse_pickle(bytes, "fuzz.pkl", [](std::string_view) { return true; });
  if (pickle) {
    require(pickle->bytes <= bytes.size(), "a pickle is longer than its file");
    require(pickle->root < pickle->values.size(), "a root that is not there");
    for (const auto& value : pickle->values) {
      for (const auto item : value.items) require(item < pickle->values.size(), "an item that is not there");
    }
  }
  return bytes.size() >= 2 && bytes[0] == std::byte{0x80} && bytes[1] >= std::byte{2} && bytes[1] <= std::byte{5};
}

}  // namespace

const Target kTarget{.try_bytes = try_pickle};

}  // namespace unireplk::test
