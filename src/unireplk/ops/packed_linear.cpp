#include "unireplk/ops/packed_linear.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>

#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/onednn.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using Pack = at::Tensor(const at::Tensor& weight, std::optional<c10::SymInt> rows);

bool can_pack(const at::Tensor& weight, const at::Tensor& bias) {
  return has_onednn() && is_plain_float(weight) && is_plain_float(bias);
}

}  // namespace

PackedLinear::PackedLinear(at::Tensor weight, at::Tensor bias, int64_t rows)
    : weight_(std::move(weight)), bias_(std::move(bias)) {
  UNIREPLK_CHECK(weight_.dim() == 2 && bias_.dim() == 1 && bias_.size(0) == weight_.size(0),
                 "PackedLinear: bias {} does not fit weight {}", shape_text(bias_), shape_text(weight_));
  if (!can_pack(weight_, bias_)) return;
  packed_ = operator_named<Pack>("mkldnn::_reorder_linear_weight").call(weight_.contiguous(), c10::SymInt(rows));
}

at::Tensor PackedLinear::apply(const at::Tensor& x) const {
  return serves(x) ? run(x, "none") : at::linear(x, weight_, bias_);
}

at::Tensor PackedLinear::apply_with_gelu(const at::Tensor& x) const {
  return serves(x) ? run(x, "gelu") : at::gelu(at::linear(x, weight_, bias_));
}

bool PackedLinear::serves(const at::Tensor& x) const {
  return packed_.defined() && stays_plain_float(x) && x.numel() > 0;
}

at::Tensor PackedLinear::run(const at::Tensor& x, const char* activation) const {
  return onednn_linear(x, packed_, bias_, activation);
}

}  // namespace unireplk::ops
