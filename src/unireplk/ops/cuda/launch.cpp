#include "unireplk/ops/cuda/launch.h"

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdint>

namespace unireplk::ops::cuda {

using kernels::cuda::Element;

Element element_of(const at::Tensor& map) {
  if (map.scalar_type() == at::kFloat) return Element::kFloat;
  return map.scalar_type() == at::kBFloat16 ? Element::kBFloat16 : Element::kHalf;
}

at::Tensor aligned_map(const at::Tensor& map) {
  constexpr uintptr_t kAlignment = 16;
  const auto dense = map.contiguous(at::MemoryFormat::ChannelsLast);
  const auto address = reinterpret_cast<uintptr_t>(dense.const_data_ptr());
  return address % kAlignment == 0 ? dense : dense.clone(at::MemoryFormat::ChannelsLast);
}

bool is_plain_float(const at::Tensor& tensor) { return tensor.is_cuda() && tensor.scalar_type() == at::kFloat; }

Launch::Launch(const at::Tensor& map)
    : guard_(map.device()), stream_(c10::cuda::getCurrentCUDAStream(map.device().index()).stream()) {}

at::Tensor Launch::workspace(int64_t bytes) const {
  return at::empty({bytes}, at::TensorOptions().dtype(at::kByte).device(guard_.current_device()));
}

void Launch::check() const { C10_CUDA_KERNEL_LAUNCH_CHECK(); }

}  // namespace unireplk::ops::cuda
