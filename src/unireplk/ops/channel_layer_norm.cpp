#include "unireplk/ops/channel_layer_norm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "unireplk/core/error.h"
#include "unireplk/ops/passes.h"
#include "unireplk/ops/rows.h"
#include "unireplk/ops/shape_text.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct FusedLayerNorm : torch::autograd::Function<FusedLayerNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, double eps, bool then_gelu) {
    const Passes::LayerNorm norm{.weight = weight, .bias = bias, .eps = eps, .then_gelu = then_gelu};
    const auto [y, mean, inverse] = passes_for(x)->layer_norm(map_rows(x), x, norm);
    context->save_for_backward({x, weight, bias, mean, inverse});
    context->saved_data["then_gelu"] = then_gelu;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "channel_layer_norm: its gradient has no gradient (create_graph); use float64");
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &inverse = saved[4];
    const auto dy = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    const Passes::LayerNorm norm{.weight = weight,
                                 .bias = bias,
                                 .eps = 0,  // is in `inverse`
                                 .then_gelu = context->saved_data["then_gelu"].toBool()};
    const auto [dx, dweight, dbias] =
        passes_for(x)->layer_norm_backward(map_rows(x), dy, x, norm, mean, inverse, context->needs_input_grad(0));
    return {dx, dweight, dbias, {}, {}};
  }
};

/// Layer norms of PyTorch's autocast are in float32, whatever the map; so are those of kernels.
bool has_kernel(const at::Tensor& x) {
  const auto is_autocast = [&] { return AutocastSettings::current(x.device().type()).enabled; };
  return takes_passes(x) && (x.scalar_type() == at::kFloat || is_autocast());
}

}  // namespace

at::Tensor channel_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                              bool then_gelu) {
  UNIREPLK_CHECK(x.dim() == 4, "channel_layer_norm: expected x [N, C, H, W], got {}", shape_text(x));
  UNIREPLK_CHECK(weight.dim() == 1 && weight.size(0) == x.size(1) && bias.sizes() == weight.sizes(),
                 "channel_layer_norm: weight {} and bias {} do not fit x {}: expected [{}]", shape_text(weight),
                 shape_text(bias), shape_text(x), x.size(1));
  if (has_kernel(x) && is_parameter_of(x, weight) && is_parameter_of(x, bias)) {
    return FusedLayerNorm::apply(x.contiguous(at::MemoryFormat::ChannelsLast), weight, bias, eps, then_gelu);
  }
  const auto y = at::layer_norm(x.permute({0, 2, 3, 1}), weight.sizes(), weight, bias, eps).permute({0, 3, 1, 2});
  return then_gelu ? at::gelu(y) : y;
}

}  // namespace unireplk::ops
