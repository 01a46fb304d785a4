#include "unireplk/ops/channel_layer_norm.h"

#include <ATen/ops/layer_norm.h>

#include "unireplk/core/error.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {

at::Tensor channel_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  UNIREPLK_CHECK(x.dim() == 4, "channel_layer_norm: expected x [N, C, H, W], got {}", shape_text(x));
  UNIREPLK_CHECK(weight.dim() == 1 && weight.size(0) == x.size(1) && bias.sizes() == weight.sizes(),
                 "channel_layer_norm: weight {} and bias {} do not fit x {}: expected [{}]", shape_text(weight),
                 shape_text(bias), shape_text(x), x.size(1));
  return at::layer_norm(x.permute({0, 2, 3, 1}), weight.sizes(), weight, bias, eps).permute({0, 3, 1, 2});
}

}  // namespace unireplk::ops
