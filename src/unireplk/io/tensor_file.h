#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/formats/dtype.h"
#include "unireplk/tensor/sample.h"

namespace unireplk::io {

/// Tensors in the order of the file, and the file's text metadata.
struct TensorFile {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  std::map<std::string, std::string> metadata;

  const at::Tensor* find(const std::string& name) const;  ///< null when absent
};

/// Read a .safetensors file into CPU tensors. \throws UserError on anything the format does not allow.
TensorFile read_safetensors(const std::filesystem::path& path);

/// Write a .safetensors file atomically; tensors of any device and strides, laid down contiguous in the given
/// order.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

/// Whether every byte is 0 or 1: what a boolean has to be in this program, whatever a file says.
bool holds_bools(std::span<const std::byte> bytes);

/// The bytes of a contiguous CPU tensor.
std::span<const std::byte> bytes_of(const at::Tensor& tensor);

/// A contiguous CPU tensor with a copy of the view's bytes.
at::Tensor to_tensor(const formats::TensorView& view);

}  // namespace unireplk::io
