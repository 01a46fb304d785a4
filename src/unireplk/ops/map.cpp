#include "unireplk/ops/map.h"

#include <ATen/ops/empty.h>

namespace unireplk::ops {

kernels::MapShape map_shape(const at::Tensor& x) {
  return {.images = x.size(0), .height = x.size(2), .width = x.size(3), .channels = x.size(1)};
}

at::Tensor empty_map(const at::Tensor& like) {
  return at::empty(like.sizes(), like.options().memory_format(at::MemoryFormat::ChannelsLast));
}

}  // namespace unireplk::ops
