#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "unireplk/formats/dtype.h"
#include "unireplk/formats/zip_writer.h"

namespace unireplk::formats {

constexpr int64_t kTorchAlignment = 64;  ///< bytes; of every storage in a file, as PyTorch has it

struct TorchEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape = {};
};

/// Write a flat dictionary of tensors as `torch.save` does: `torch.load(FILE, weights_only=True)` opens it. Every
/// tensor has a storage of its own. The same tensors give the same bytes.
///
/// \param tensors   in this order.
/// \param bytes_of  row-major bytes of tensor i; asked once for each, in order, and done with before the next.
/// \throws ContractError when a name repeats or is no UTF-8, or bytes do not fit their shape.
void write_torch_file(std::span<const TorchEntry> tensors,
                      const std::function<std::span<const std::byte>(size_t)>& bytes_of, const ZipWriter::Sink& sink);

}  // namespace unireplk::formats
