#include "unireplk/ops/map.h"

#include <ATen/ops/empty.h>

#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {

kernels::MapShape map_shape(const at::Tensor& x) {
  return {.images = x.size(0), .height = x.size(2), .width = x.size(3), .channels = x.size(1)};
}

bool is_plain_float(const at::Tensor& tensor) { return tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat; }

bool is_dense_float(const at::Tensor& tensor) { return is_plain_float(tensor) && tensor.is_contiguous(); }

bool stays_plain_float(const at::Tensor& x) { return is_plain_float(x) && autocast_type(x) == at::kFloat; }

bool is_kernel_input(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf;
}

at::Tensor empty_map(const at::Tensor& like) { return empty_map(like, like.scalar_type()); }

at::Tensor empty_map(const at::Tensor& like, at::ScalarType dtype) {
  return at::empty(like.sizes(), like.options().dtype(dtype).memory_format(at::MemoryFormat::ChannelsLast));
}

}  // namespace unireplk::ops
