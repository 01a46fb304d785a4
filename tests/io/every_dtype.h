#pragma once

#include <ATen/ATen.h>

#include "unireplk/io/tensor_file.h"

namespace unireplk::test {

/// Tensors of every dtype this program knows, a scalar and an empty one; no value twice in a row.
inline io::TensorFile every_dtype() {
  io::TensorFile file;
  for (const auto type : {at::kByte, at::kChar, at::kUInt16, at::kShort, at::kUInt32, at::kInt, at::kUInt64, at::kLong,
                          at::kFloat8_e4m3fn, at::kFloat8_e5m2, at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    at::Tensor tensor = at::empty({3, 5}, type);
    auto* bytes = static_cast<uint8_t*>(tensor.mutable_data_ptr());
    for (size_t i = 0; i < tensor.nbytes(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + 11);
    file.tensors.emplace_back(at::toString(type), tensor);
  }
  file.tensors.emplace_back("bool", at::tensor({1, 0, 1}, at::kInt).to(at::kBool));
  file.tensors.emplace_back("scalar", at::scalar_tensor(2.5));
  file.tensors.emplace_back("empty", at::empty({0, 4}));
  return file;
}

}  // namespace unireplk::test
