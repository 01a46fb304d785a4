#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace unireplk::io {

/// The array of a NumPy file, row-major, on the CPU. \throws UserError when it cannot be read or is no such file.
at::Tensor read_npy(const std::filesystem::path& file);

}  // namespace unireplk::io
