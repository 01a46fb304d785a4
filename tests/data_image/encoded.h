#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <variant>

#include "unireplk/data/source.h"

namespace unireplk::test {

inline std::string as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The bytes of an item that is still encoded.
inline std::string encoded_item(const data::Source& source, int64_t index) {
  return as_text(std::get<data::EncodedBytes>(source.read(index).value_or_throw().payload).bytes);
}

}  // namespace unireplk::test
