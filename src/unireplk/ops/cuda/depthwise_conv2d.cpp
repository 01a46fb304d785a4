#include "unireplk/ops/cuda/depthwise_conv2d.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/kernels/cuda/depthwise.h"
#include "unireplk/ops/cuda/launch.h"
#include "unireplk/ops/map.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kSmallestKernel = 7;

at::Tensor channels_last(const at::Tensor& map) { return map.contiguous(at::MemoryFormat::ChannelsLast); }

at::Tensor workspace_for(const Launch& launch, const kernels::MapShape& map, const kernels::KernelShape& kernel) {
  return launch.workspace(kernels::cuda::depthwise_workspace(map, kernel) * static_cast<int64_t>(sizeof(float)));
}

float* floats(const at::Tensor& workspace) { return static_cast<float*>(workspace.data_ptr()); }

struct DepthwiseConv2d : torch::autograd::Function<DepthwiseConv2d> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& any_x, const at::Tensor& any_weight,
                            const std::optional<at::Tensor>& bias, int64_t dilation) {
    const Launch launch(any_x);
    const auto x = channels_last(any_x), weight = any_weight.contiguous();
    context->save_for_backward({x, weight});
    context->saved_data["dilation"] = dilation;
    context->saved_data["has_bias"] = bias.has_value();
    const auto map = map_shape(x);
    const kernels::KernelShape kernel{.size = weight.size(2), .dilation = dilation};
    const auto y = empty_map(x);
    const auto workspace = workspace_for(launch, map, kernel);
    const auto dense_bias = bias ? bias->contiguous() : at::Tensor();
    kernels::cuda::depthwise_forward(element_of(x), map, kernel, x.const_data_ptr(), weight.const_data_ptr<float>(),
                                     bias ? dense_bias.const_data_ptr<float>() : nullptr, y.data_ptr(),
                                     floats(workspace), launch.stream());
    launch.check();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "depthwise_conv2d: its gradient has no gradient (create_graph); use float64 for that");
    const auto saved = context->get_saved_variables();
    const auto& x = saved[0];
    const auto& weight = saved[1];
    const Launch launch(x);
    const auto map = map_shape(x);
    const kernels::KernelShape kernel{.size = weight.size(2), .dilation = context->saved_data["dilation"].toInt()};
    const auto workspace = workspace_for(launch, map, kernel);
    const auto dy = channels_last(gradients[0]);
    at::Tensor dx, dweight, dbias;
    if (context->needs_input_grad(0)) {
      dx = empty_map(x);
      kernels::cuda::depthwise_backward_data(element_of(x), map, kernel, dy.const_data_ptr(),
                                             weight.const_data_ptr<float>(), dx.data_ptr(), floats(workspace),
                                             launch.stream());
    }
    const bool wants_dbias = context->saved_data["has_bias"].toBool() && context->needs_input_grad(2);
    if (context->needs_input_grad(1) || wants_dbias) {
      dweight = at::empty_like(weight);
      if (wants_dbias) dbias = at::empty({weight.size(0)}, weight.options());
      kernels::cuda::depthwise_backward_weights(
          element_of(x), map, kernel, x.const_data_ptr(), dy.const_data_ptr(), dweight.data_ptr<float>(),
          dbias.defined() ? dbias.data_ptr<float>() : nullptr, floats(workspace), launch.stream());
    }
    launch.check();
    return {dx, dweight, dbias, {}};
  }
};

}  // namespace

bool has_depthwise_kernel(const at::Tensor& x, const at::Tensor& weight) {
  return is_kernel_input(x) && is_plain_float(weight) && weight.size(2) >= kSmallestKernel;
}

at::Tensor depthwise_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t dilation) {
  return DepthwiseConv2d::apply(x.to(autocast_type(x)), weight, bias.defined() ? std::optional(bias) : std::nullopt,
                                dilation);
}

}  // namespace unireplk::ops::cuda
