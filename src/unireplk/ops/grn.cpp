#include "unireplk/ops/grn.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/linalg_vector_norm.h>

#include "unireplk/core/error.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {

at::Tensor grn(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta) {
  UNIREPLK_CHECK(x.dim() == 4, "grn: expected x [N, H, W, C], got {}", shape_text(x));
  const std::vector<int64_t> parameter_shape{1, 1, 1, x.size(3)};
  UNIREPLK_CHECK(gamma.sizes() == parameter_shape, "grn: gamma {} does not fit x {}: expected [1, 1, 1, {}]",
                 shape_text(gamma), shape_text(x), x.size(3));
  UNIREPLK_CHECK(!beta.defined() || beta.sizes() == parameter_shape,
                 "grn: beta {} does not fit x {}: expected [1, 1, 1, {}]", shape_text(beta), shape_text(x), x.size(3));
  const auto wide = c10::promoteTypes(x.scalar_type(), at::kFloat);
  const auto norms = at::linalg_vector_norm(x, 2, at::IntArrayRef{1, 2}, /*keepdim=*/true, wide);  // [N, 1, 1, C]
  const auto relative = norms / (norms.mean(-1, /*keepdim=*/true) + 1e-6);
  const auto factor = (gamma.to(wide) * relative + 1).to(x.scalar_type());
  return beta.defined() ? at::addcmul(beta.to(x.scalar_type()), x, factor) : x * factor;
}

}  // namespace unireplk::ops
