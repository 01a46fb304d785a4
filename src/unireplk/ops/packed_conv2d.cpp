#include "unireplk/ops/packed_conv2d.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/onednn.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using PackFilters = at::Tensor(const at::Tensor& weight, c10::SymIntArrayRef padding, c10::SymIntArrayRef stride,
                               c10::SymIntArrayRef dilation, c10::SymInt groups, at::OptionalSymIntArrayRef map);
using Convolve = at::Tensor(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias,
                            c10::SymIntArrayRef padding, c10::SymIntArrayRef stride, c10::SymIntArrayRef dilation,
                            c10::SymInt groups, std::string_view activation,
                            c10::List<std::optional<at::Scalar>> scalars, std::optional<std::string_view> algorithm);

/// Of rows and of columns.
std::array<c10::SymInt, 2> both(int64_t value) { return {value, value}; }

}  // namespace

PackedConv2d::PackedConv2d(const at::Tensor& weight, at::Tensor bias, int64_t stride, int64_t dilation,
                           at::IntArrayRef map)
    : bias_(std::move(bias)), stride_(stride), dilation_(dilation) {
  UNIREPLK_CHECK(weight.dim() == 4 && (!bias_.defined() || bias_.numel() == weight.size(0)),
                 "PackedConv2d: bias {} does not fit weight {}", shape_text(bias_), shape_text(weight));
  if (!has_onednn() || !is_plain_float(weight) || (bias_.defined() && !is_plain_float(bias_))) return;
  padding_ = dilation * (weight.size(2) / 2);
  packed_ =
      operator_named<PackFilters>("mkldnn::_reorder_convolution_weight")
          .call(weight.contiguous(), both(padding_), both(stride_), both(dilation_), 1, c10::fromIntArrayRefSlow(map));
}

bool PackedConv2d::serves(const at::Tensor& x) const {
  return packed_.defined() && stays_plain_float(x) && x.numel() > 0;
}

at::Tensor PackedConv2d::apply(const at::Tensor& x) const {
  UNIREPLK_CHECK(serves(x), "PackedConv2d: no packed weights for {}", shape_text(x));
  return operator_named<Convolve>("mkldnn::_convolution_pointwise")
      .call(x.contiguous(at::MemoryFormat::ChannelsLast), packed_,
            bias_.defined() ? std::optional(bias_) : std::nullopt, both(padding_), both(stride_), both(dilation_), 1,
            "none", c10::List<std::optional<at::Scalar>>(), "none");
}

}  // namespace unireplk::ops
