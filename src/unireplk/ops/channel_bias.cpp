#include "unireplk/ops/channel_bias.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "unireplk/core/error.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/passes.h"
#include "unireplk/ops/rows.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor sum_of_pixels(const at::Tensor& dy) {
  if (at::GradMode::is_enabled()) return dy.sum(at::IntArrayRef{0, 2, 3}, /*keepdim=*/false, at::kFloat);
  const auto map = dy.contiguous(at::MemoryFormat::ChannelsLast);
  return passes_for(map)->sum_rows(map_rows(map), map, {}, {}).sums.sum(0);
}

struct AddChannelBias : torch::autograd::Function<AddChannelBias> {
  static at::Tensor forward(AutogradContext* /*context*/, const at::Tensor& y, const at::Tensor& bias) {
    const auto shape = map_rows(y);
    const auto result = empty_map(y);
    const auto shift = bias.expand({shape.images, shape.channels}).contiguous();
    passes_for(y)->combine_rows(shape, {.a = y, .shift = shift}, result);
    return result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {gradients[0], context->needs_input_grad(1) ? sum_of_pixels(gradients[0]) : at::Tensor()};
  }
};

}  // namespace

bool leaves_out_bias(const at::Tensor& x, const at::Tensor& bias) {
  return x.is_cuda() && x.dim() == 4 && at::GradMode::is_enabled() && bias.defined() && bias.requires_grad() &&
         takes_passes(x) && is_parameter_of(x, bias);
}

at::Tensor add_channel_bias(const at::Tensor& y, const at::Tensor& bias) {
  UNIREPLK_CHECK(y.dim() == 4 && bias.dim() == 1 && bias.size(0) == y.size(1),
                 "add_channel_bias: bias {} does not fit y {}", shape_text(bias), shape_text(y));
  UNIREPLK_CHECK(has_passes(y) && is_parameter_of(y, bias),
                 "add_channel_bias: expected a map that passes take and a float32 bias on its device, got {} and {}",
                 at::toString(y.scalar_type()), at::toString(bias.scalar_type()));
  return AddChannelBias::apply(y.contiguous(at::MemoryFormat::ChannelsLast), bias);
}

}  // namespace unireplk::ops
