#include "unireplk/ops/squeeze_excite.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "unireplk/core/error.h"
#include "unireplk/kernels/row_passes.h"
#include "unireplk/kernels/squeeze_gate.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/parallel.h"
#include "unireplk/ops/rows.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct FusedSqueezeExcite : torch::autograd::Function<FusedSqueezeExcite> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& down_weight,
                            const at::Tensor& down_bias, const at::Tensor& up_weight, const at::Tensor& up_bias) {
    const auto shape = map_rows(x);
    const auto threads = intra_op_threads();
    const auto pooled = empty_table(shape), y = empty_map(x);
    const Workspace workspace(kernels::row_sums_workspace(shape, 1));
    kernels::sum_rows(shape, x.const_data_ptr<float>(), nullptr, nullptr, pooled.data_ptr<float>(), nullptr,
                      workspace.span(), threads);
    pooled.div_(shape.pixels);
    const auto inner = at::empty({shape.images, down_weight.size(0)}, at::kFloat), gate = empty_table(shape);
    kernels::squeeze_gate({.channels = shape.channels,
                           .inner = down_weight.size(0),
                           .down_weight = down_weight.const_data_ptr<float>(),
                           .down_bias = down_bias.const_data_ptr<float>(),
                           .up_weight = up_weight.const_data_ptr<float>(),
                           .up_bias = up_bias.const_data_ptr<float>()},
                          shape.images, pooled.const_data_ptr<float>(), inner.data_ptr<float>(), gate.data_ptr<float>(),
                          threads);
    kernels::combine_rows(shape, {.a = x.const_data_ptr<float>(), .factor = gate.const_data_ptr<float>()},
                          y.data_ptr<float>(), threads);
    context->save_for_backward({x, pooled, inner, gate, down_weight, up_weight});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "squeeze_excite: its gradient has no gradient (create_graph); use float64");
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &pooled = saved[1], &inner = saved[2], &gate = saved[3];
    const auto &down_weight = saved[4], &up_weight = saved[5];
    const auto dy = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    const auto shape = map_rows(x);
    const auto threads = intra_op_threads();
    const auto sums = empty_table(shape), products = empty_table(shape), dx = empty_map(x);
    const Workspace workspace(kernels::row_sums_workspace(shape, 2));
    kernels::sum_rows(shape, dy.const_data_ptr<float>(), x.const_data_ptr<float>(), nullptr, sums.data_ptr<float>(),
                      products.data_ptr<float>(), workspace.span(), threads);
    const auto of_up = products * gate * (1 - gate);
    const auto of_down = of_up.mm(up_weight) * inner.gt(0);
    const auto shift = of_down.mm(down_weight).div_(shape.pixels);
    kernels::combine_rows(
        shape,
        {.a = dy.const_data_ptr<float>(), .factor = gate.const_data_ptr<float>(), .shift = shift.data_ptr<float>()},
        dx.data_ptr<float>(), threads);
    return {dx, of_down.t().mm(pooled), of_down.sum(0), of_up.t().mm(inner), of_up.sum(0)};
  }
};

void check_shapes(const at::Tensor& x, const LinearTensors& down, const LinearTensors& up) {
  UNIREPLK_CHECK(x.dim() == 4, "squeeze_excite: expected x [N, C, H, W], got {}", shape_text(x));
  const auto fits = [](const LinearTensors& linear, int64_t in, int64_t out) {
    return linear.weight.sizes() == std::vector<int64_t>{out, in} && linear.bias.sizes() == std::vector<int64_t>{out};
  };
  const int64_t channels = x.size(1), inner = down.bias.size(0);
  UNIREPLK_CHECK(fits(down, channels, inner) && fits(up, inner, channels),
                 "squeeze_excite: weights {} and {} do not fit x {}: expected [inner, {}] and its reverse",
                 shape_text(down.weight), shape_text(up.weight), shape_text(x), channels);
}

}  // namespace

at::Tensor squeeze_excite(const at::Tensor& x, const LinearTensors& down, const LinearTensors& up) {
  check_shapes(x, down, up);
  const auto takes = [](const LinearTensors& linear) {
    return is_dense_float(linear.weight) && is_dense_float(linear.bias);
  };
  const bool has_kernel = stays_plain_float(x) && takes(down) && takes(up) && x.size(2) * x.size(3) > 0;
  if (has_kernel) {
    return FusedSqueezeExcite::apply(x.contiguous(at::MemoryFormat::ChannelsLast), down.weight, down.bias, up.weight,
                                     up.bias);
  }
  const auto inner = at::linear(x.mean({2, 3}), down.weight, down.bias).relu();
  const auto gate = at::linear(inner, up.weight, up.bias).sigmoid();
  return x * gate.unsqueeze(-1).unsqueeze(-1);
}

}  // namespace unireplk::ops
