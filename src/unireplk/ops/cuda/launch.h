#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include "unireplk/kernels/cuda/element.h"

/// From tensors to the kernels of a CUDA device.
namespace unireplk::ops::cuda {

/// Of float32, bfloat16 or half.
kernels::cuda::Element element_of(const at::Tensor& map);

/// A map that kernels read 16 bytes at a time: channels last, and not in the middle of other memory. Itself if it is
/// so.
at::Tensor aligned_map(const at::Tensor& map);

/// float32 on a CUDA device.
bool is_plain_float(const at::Tensor& tensor);

/// The device of a map is the current one while this lives, and work goes to its current stream.
class Launch {
 public:
  explicit Launch(const at::Tensor& map);

  kernels::cuda::Stream stream() const { return stream_; }
  /// Memory for a kernel, which later work on this stream alone may overwrite.
  at::Tensor workspace(int64_t bytes) const;
  /// \throws c10::Error when a launch went wrong.
  void check() const;

 private:
  c10::DeviceGuard guard_;
  kernels::cuda::Stream stream_;
};

}  // namespace unireplk::ops::cuda
