#include "unireplk/ops/rows.h"

#include <ATen/ops/empty.h>

namespace unireplk::ops {

kernels::RowsShape rows_of(const at::Tensor& x) {
  return {.images = x.size(0), .pixels = x.size(1) * x.size(2), .channels = x.size(3)};
}

kernels::RowsShape map_rows(const at::Tensor& x) { return rows_of(x.permute({0, 2, 3, 1})); }

at::Tensor empty_table(const kernels::RowsShape& shape, const at::Tensor& map) {
  return at::empty({shape.images, shape.channels}, at::TensorOptions().dtype(at::kFloat).device(map.device()));
}

at::Tensor empty_table(int64_t images, const at::Tensor& vector) {
  return at::empty({images, vector.size(0)}, vector.options());
}

}  // namespace unireplk::ops
