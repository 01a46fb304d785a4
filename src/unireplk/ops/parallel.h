#pragma once

#include <ATen/core/Tensor.h>

#include <span>

#include "unireplk/kernels/parallel.h"

namespace unireplk::ops {

/// The threads of LibTorch, for a kernel. Called inside a parallel region the kernel runs on that one thread.
kernels::Parallel intra_op_threads();

/// Memory for a kernel, at a cache line, from LibTorch's allocator.
class Workspace {
 public:
  explicit Workspace(int64_t floats);

  std::span<float> span() const;

 private:
  at::Tensor memory_;
};

}  // namespace unireplk::ops
