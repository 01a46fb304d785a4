#include "unireplk/ops/drop_path.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/empty.h>

#include "unireplk/core/error.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {

at::Tensor drop_path_mask(const at::Tensor& like, double rate, at::Generator generator) {
  UNIREPLK_CHECK(rate >= 0 && rate < 1, "drop_path_mask: expected a rate in [0, 1), got {}", rate);
  const double keep = 1 - rate;
  return at::empty({like.size(0), 1, 1, 1}, like.options()).bernoulli_(keep, std::move(generator)).div_(keep);
}

at::Tensor add_branch(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& layer_scale,
                      const at::Tensor& mask) {
  UNIREPLK_CHECK(x.dim() == 4 && x.sizes() == branch.sizes(), "add_branch: branch {} does not fit x {}",
                 shape_text(branch), shape_text(x));
  UNIREPLK_CHECK(!layer_scale.defined() || (layer_scale.dim() == 1 && layer_scale.size(0) == x.size(1)),
                 "add_branch: layer scale {} does not fit x {}: expected [{}]", shape_text(layer_scale), shape_text(x),
                 x.size(1));
  UNIREPLK_CHECK(!mask.defined() || mask.numel() == x.size(0), "add_branch: mask {} does not fit x {}",
                 shape_text(mask), shape_text(x));
  if (!layer_scale.defined()) return mask.defined() ? at::addcmul(x, branch, mask) : x + branch;
  const auto scale = layer_scale.view({1, -1, 1, 1});
  return at::addcmul(x, branch, mask.defined() ? scale * mask : scale);
}

}  // namespace unireplk::ops
