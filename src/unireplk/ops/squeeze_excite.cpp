#include "unireplk/ops/squeeze_excite.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "unireplk/core/error.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/passes.h"
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
    const auto passes = passes_for(x);
    const auto [means, inner, gate] = passes->squeeze_gate(passes->sum_rows(shape, x, {}, {}).sums, shape.pixels,
                                                           {down_weight, down_bias, up_weight, up_bias});
    const auto y = empty_map(x);
    passes->combine_rows(shape, {.a = x, .factor = gate}, y);
    context->save_for_backward({x, means, inner, gate, down_weight, up_weight});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "squeeze_excite: its gradient has no gradient (create_graph); use float64");
    const auto saved = context->get_saved_variables();
    const auto& x = saved[0];
    const Passes::GateValues values{.means = saved[1], .inner = saved[2], .gate = saved[3]};
    const Passes::Gate gate{.down_weight = saved[4], .down_bias = {}, .up_weight = saved[5], .up_bias = {}};
    const auto dy = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    const auto shape = map_rows(x);
    const auto passes = passes_for(x);
    const auto products = passes->sum_rows(shape, dy, x, {}).products;
    const auto [shift, of] = passes->squeeze_gate_backward(products, shape.pixels, values, gate);
    const auto dx = empty_map(x);
    passes->combine_rows(shape, {.a = dy, .factor = values.gate, .shift = shift}, dx);
    return {dx, of.down_weight, of.down_bias, of.up_weight, of.up_bias};
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
  const auto takes = [&](const LinearTensors& linear) {
    return is_parameter_of(x, linear.weight) && is_parameter_of(x, linear.bias);
  };
  const bool has_kernel = takes_passes(x) && takes(down) && takes(up) && x.size(2) * x.size(3) > 0;
  if (has_kernel) {
    return FusedSqueezeExcite::apply(x.contiguous(at::MemoryFormat::ChannelsLast), down.weight, down.bias, up.weight,
                                     up.bias);
  }
  const auto inner = at::linear(x.mean({2, 3}), down.weight, down.bias).relu();
  const auto gate = at::linear(inner, up.weight, up.bias).sigmoid();
  return x * gate.unsqueeze(-1).unsqueeze(-1);
}

}  // namespace unireplk::ops
