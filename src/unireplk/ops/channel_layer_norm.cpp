#include "unireplk/ops/channel_layer_norm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "unireplk/core/error.h"
#include "unireplk/kernels/layer_norm.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/parallel.h"
#include "unireplk/ops/rows.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

kernels::LayerNorm kernel_norm(const at::Tensor& weight, const at::Tensor& bias, double eps, bool then_gelu) {
  return {.weight = weight.const_data_ptr<float>(),
          .bias = bias.const_data_ptr<float>(),
          .eps = static_cast<float>(eps),
          .then_gelu = then_gelu};
}

struct FusedLayerNorm : torch::autograd::Function<FusedLayerNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, double eps, bool then_gelu) {
    const auto shape = map_rows(x);
    const auto y = empty_map(x);
    const auto mean = at::empty({shape.images * shape.pixels}, at::kFloat), inverse = at::empty_like(mean);
    kernels::layer_norm(shape, x.const_data_ptr<float>(), kernel_norm(weight, bias, eps, then_gelu),
                        y.data_ptr<float>(), mean.data_ptr<float>(), inverse.data_ptr<float>(), intra_op_threads());
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
    const auto shape = map_rows(x);
    at::Tensor dx;
    if (context->needs_input_grad(0)) dx = empty_map(x);
    const auto dweight = at::empty_like(weight), dbias = at::empty_like(weight);
    const Workspace workspace(kernels::row_sums_workspace(shape, 2));
    const auto norm =
        kernel_norm(weight, bias, /*eps, in `inverse` already*/ 0, context->saved_data["then_gelu"].toBool());
    kernels::layer_norm_backward(shape, dy.const_data_ptr<float>(), x.const_data_ptr<float>(), norm,
                                 mean.const_data_ptr<float>(), inverse.const_data_ptr<float>(),
                                 dx.defined() ? dx.data_ptr<float>() : nullptr, dweight.data_ptr<float>(),
                                 dbias.data_ptr<float>(), workspace.span(), intra_op_threads());
    return {dx, dweight, dbias, {}, {}};
  }
};

}  // namespace

at::Tensor channel_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                              bool then_gelu) {
  UNIREPLK_CHECK(x.dim() == 4, "channel_layer_norm: expected x [N, C, H, W], got {}", shape_text(x));
  UNIREPLK_CHECK(weight.dim() == 1 && weight.size(0) == x.size(1) && bias.sizes() == weight.sizes(),
                 "channel_layer_norm: weight {} and bias {} do not fit x {}: expected [{}]", shape_text(weight),
                 shape_text(bias), shape_text(x), x.size(1));
  if (stays_plain_float(x) && is_dense_float(weight) && is_dense_float(bias)) {
    return FusedLayerNorm::apply(x.contiguous(at::MemoryFormat::ChannelsLast), weight, bias, eps, then_gelu);
  }
  const auto y = at::layer_norm(x.permute({0, 2, 3, 1}), weight.sizes(), weight, bias, eps).permute({0, 3, 1, 2});
  return then_gelu ? at::gelu(y) : y;
}

}  // namespace unireplk::ops
