#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace unireplk::io {

/// The array of a NumPy file, row-major, on the CPU; only for reading. Where the file has it so in this machine's byte
/// order, the tensor is the file, mapped: it is read as it is touched, and has to stay as it is (io/files.h).
/// \throws UserError when it cannot be read or is no such file.
at::Tensor read_npy(const std::filesystem::path& file);

}  // namespace unireplk::io
