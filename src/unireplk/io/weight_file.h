#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "unireplk/io/tensor_file.h"

namespace unireplk::io {

/// The tensors of a weight file, and what else is told of it.
struct WeightFile {
  TensorFile content;
  std::string key = {};                   ///< the dictionary of the file that was taken; empty: all of it
  std::vector<std::string> others = {};   ///< what was found among the tensors and is none: `epoch: an int`
  std::vector<std::string> ignored = {};  ///< names of a few things beside that dictionary
};

/// Whether a file of this name is one of PyTorch's: .pth, .pt, .bin, .ckpt or .pth.tar.
bool is_torch_name(const std::filesystem::path& path);

/// Whether read_weights() knows files of this name.
bool is_weight_name(const std::filesystem::path& path);

/// Read a file of `torch.save` into CPU tensors with the strides they were saved with; tensors that share a storage
/// there share one here.
/// \param key  as torch_state_dict() has it. \throws UserError on anything that is refused.
WeightFile read_torch(const std::filesystem::path& path, const std::string& key = {});

/// Write a file that `torch.load` opens, atomically; tensors of any device and strides, laid down contiguous. Metadata
/// has no place in it.
void write_torch(const std::filesystem::path& path, const TensorFile& file);

/// Read a .safetensors file or one of PyTorch's, by its name. \param key  for the latter alone.
WeightFile read_weights(const std::filesystem::path& path, const std::string& key = {});

/// Write .safetensors, .pth or .pt, by the name. \throws UserError on another name.
void write_weights(const std::filesystem::path& path, const TensorFile& file);

/// \throws UserError unless write_weights() knows files of this name.
void require_writable_weight_name(const std::filesystem::path& path);

}  // namespace unireplk::io
