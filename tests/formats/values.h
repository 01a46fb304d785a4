#pragma once

#include <cstring>
#include <vector>

#include "unireplk/formats/dtype.h"

namespace unireplk::test {

/// The numbers of a tensor of type T.
template <class T>
std::vector<T> values(const formats::OwnedTensor& tensor) {
  std::vector<T> out(tensor.bytes.size() / sizeof(T));
  std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
  return out;
}

}  // namespace unireplk::test
