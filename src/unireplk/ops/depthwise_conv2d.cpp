#include "unireplk/ops/depthwise_conv2d.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/kernels/depthwise.h"
#if UNIREPLK_CUDA_KERNELS
#include "unireplk/ops/cuda/depthwise_conv2d.h"
#endif
#include "unireplk/ops/map.h"
#include "unireplk/ops/parallel.h"
#include "unireplk/ops/shape_text.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kSmallestKernel = 7;

at::Tensor channels_last(const at::Tensor& map) { return map.contiguous(at::MemoryFormat::ChannelsLast); }

struct DepthwiseConv2d : torch::autograd::Function<DepthwiseConv2d> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& any_x, const at::Tensor& any_weight,
                            const std::optional<at::Tensor>& bias, int64_t dilation) {
    const auto x = channels_last(any_x), weight = any_weight.contiguous();
    context->save_for_backward({x, weight});
    context->saved_data["dilation"] = dilation;
    context->saved_data["has_bias"] = bias.has_value();
    const auto map = map_shape(x);
    const kernels::KernelShape kernel{.size = weight.size(2), .dilation = dilation};
    const auto y = empty_map(x);
    const auto threads = intra_op_threads();
    const Workspace workspace(kernels::depthwise_workspace(map, kernel, threads.workers));
    const auto dense_bias = bias ? bias->contiguous() : at::Tensor();
    kernels::depthwise_forward(map, kernel, x.const_data_ptr<float>(), weight.const_data_ptr<float>(),
                               bias ? dense_bias.const_data_ptr<float>() : nullptr, y.data_ptr<float>(),
                               workspace.span(), threads);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "depthwise_conv2d: its gradient has no gradient (create_graph); use float64 for that");
    const auto saved = context->get_saved_variables();
    const auto& x = saved[0];
    const auto& weight = saved[1];
    const auto map = map_shape(x);
    const kernels::KernelShape kernel{.size = weight.size(2), .dilation = context->saved_data["dilation"].toInt()};
    const auto threads = intra_op_threads();
    const Workspace workspace(kernels::depthwise_workspace(map, kernel, threads.workers));
    const auto dy = channels_last(gradients[0]);
    at::Tensor dx, dweight, dbias;
    if (context->needs_input_grad(0)) {
      dx = empty_map(x);
      kernels::depthwise_backward_data(map, kernel, dy.const_data_ptr<float>(), weight.const_data_ptr<float>(),
                                       dx.data_ptr<float>(), workspace.span(), threads);
    }
    const bool wants_dbias = context->saved_data["has_bias"].toBool() && context->needs_input_grad(2);
    if (context->needs_input_grad(1) || wants_dbias) {
      dweight = at::empty_like(weight);
      if (wants_dbias) dbias = at::empty({weight.size(0)}, weight.options());
      kernels::depthwise_backward_weights(
          map, kernel, x.const_data_ptr<float>(), dy.const_data_ptr<float>(), dweight.data_ptr<float>(),
          dbias.defined() ? dbias.data_ptr<float>() : nullptr, workspace.span(), threads);
    }
    return {dx, dweight, dbias, {}};
  }
};

}  // namespace

bool has_depthwise_kernel(const at::Tensor& x, const at::Tensor& weight, int64_t dilation) {
#if UNIREPLK_CUDA_KERNELS
  if (x.is_cuda()) return cuda::has_depthwise_kernel(x, weight);
#endif
  return x.device().is_cpu() && is_kernel_input(x) && weight.scalar_type() == at::kFloat &&
         (weight.size(2) >= kSmallestKernel || dilation > 1);
}

at::Tensor depthwise_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t dilation) {
  UNIREPLK_CHECK(x.dim() == 4, "depthwise_conv2d: expected x [N, C, H, W], got {}", shape_text(x));
  UNIREPLK_CHECK(weight.dim() == 4 && weight.size(0) == x.size(1) && weight.size(1) == 1 &&
                     weight.size(2) == weight.size(3) && weight.size(2) % 2 == 1 && dilation >= 1,
                 "depthwise_conv2d: weight {} with dilation {} does not fit x {}: expected [{}, 1, K, K], K odd",
                 shape_text(weight), dilation, shape_text(x), x.size(1));
  UNIREPLK_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == x.size(1) && bias.scalar_type() == at::kFloat),
                 "depthwise_conv2d: bias {} does not fit x {}: expected [{}]", shape_text(bias), shape_text(x),
                 x.size(1));
  UNIREPLK_CHECK(has_depthwise_kernel(x, weight, dilation), "depthwise_conv2d: no kernel for {} {} on {}",
                 shape_text(weight), c10::toString(x.scalar_type()), x.device().str());
#if UNIREPLK_CUDA_KERNELS
  if (x.is_cuda()) return cuda::depthwise_conv2d(x, weight, bias, dilation);
#endif
  const auto dtype = autocast_type(x);
  return DepthwiseConv2d::apply(x.to(dtype).to(at::kFloat), weight, bias.defined() ? std::optional(bias) : std::nullopt,
                                dilation)
      .to(dtype);
}

}  // namespace unireplk::ops
