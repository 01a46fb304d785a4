#include "unireplk/ops/cuda/dilated_reparam.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/kernels/cuda/block.h"
#include "unireplk/ops/cuda/launch.h"
#include "unireplk/ops/map.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr size_t kTensorsOfBranch = 3;  // kernel, gamma, beta
constexpr size_t kSavedOfForward = 2;   // x, moments; the others behind them

kernels::BlockShape shape_of(const DilatedReparam& block, const at::Tensor& x) {
  kernels::BlockShape shape{.map = map_shape(x), .branches = {}, .eps = block.eps};
  for (const auto& branch : block.branches) shape.branches.push_back({branch.weight.size(2), branch.dilation});
  return shape;
}

/// What the autograd function needs besides tensors that carry gradients.
struct FusedBlock : torch::CustomClassHolder {
  kernels::BlockShape shape;
  std::optional<kernels::RunningStatistics> running;
};

kernels::RunningStatistics running_of(const DilatedReparam& block) {
  const auto of = [](const NormTensors& norm) {
    UNIREPLK_CHECK(norm.running_mean.defined() && norm.running_var.defined(),
                   "dilated_reparam: no running statistics to move");
    return kernels::RunningStatistics::Norm{norm.running_mean.data_ptr<float>(), norm.running_var.data_ptr<float>()};
  };
  kernels::RunningStatistics running{.branches = {}, .outer = of(block.outer), .momentum = block.momentum};
  for (const auto& branch : block.branches) running.branches.push_back(of(branch.norm));
  return running;
}

kernels::BlockWeights weights_of(at::TensorList tensors) {
  kernels::BlockWeights weights;
  const size_t branches = tensors.size() / kTensorsOfBranch;
  for (size_t b = 0; b < branches; ++b) {
    const auto* of_branch = &tensors[b * kTensorsOfBranch];
    weights.branches.push_back({of_branch[0].const_data_ptr<float>(), of_branch[1].const_data_ptr<float>(),
                                of_branch[2].const_data_ptr<float>()});
  }
  weights.gamma = tensors[branches * kTensorsOfBranch].const_data_ptr<float>();
  weights.beta = tensors[branches * kTensorsOfBranch + 1].const_data_ptr<float>();
  return weights;
}

struct FusedDilatedReparam : torch::autograd::Function<FusedDilatedReparam> {
  /// \param tensors  kernel, gamma, beta of each branch, outer gamma and beta.
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<FusedBlock>& block, const at::Tensor& x,
                            at::TensorList tensors) {
    const Launch launch(x);
    const auto& shape = block->shape;
    const auto y = empty_map(x);
    const auto moments = at::empty({kernels::cuda::block_moments(shape), x.size(1)}, tensors[1].options());
    const auto workspace = launch.workspace(kernels::cuda::block_workspace(element_of(x), shape));
    kernels::cuda::block_forward(element_of(x), shape, weights_of(tensors), block->running ? &*block->running : nullptr,
                                 x.const_data_ptr(), y.data_ptr(), moments.data_ptr<float>(), workspace.data_ptr(),
                                 launch.stream());
    launch.check();
    variable_list saved{x, moments};
    saved.insert(saved.end(), tensors.begin(), tensors.end());
    context->save_for_backward(std::move(saved));
    context->saved_data["block"] = c10::IValue::make_capsule(block);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "dilated_reparam: its gradient has no gradient (create_graph); use float64 for that");
    const auto capsule = context->saved_data["block"].toCapsule();
    const auto& shape = static_cast<const FusedBlock&>(*capsule).shape;
    const auto saved = context->get_saved_variables();
    const auto& x = saved[0];
    const Launch launch(x);
    const at::TensorList tensors(saved.data() + kSavedOfForward, saved.size() - kSavedOfForward);
    const auto dy = upstream[0].contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor dx;
    if (x.requires_grad()) dx = empty_map(x);
    variable_list result{{}, dx};  // none for the block
    kernels::BlockGradients gradients{};
    for (size_t b = 0; b < shape.branches.size(); ++b) {
      const auto* of_branch = &tensors[b * kTensorsOfBranch];
      result.insert(result.end(),
                    {at::empty_like(of_branch[0]), at::empty_like(of_branch[1]), at::zeros_like(of_branch[2])});
      gradients.branches.push_back(
          {result[result.size() - 3].data_ptr<float>(), result[result.size() - 2].data_ptr<float>()});
    }
    for (const auto& outer : tensors.slice(tensors.size() - 2)) result.push_back(at::empty_like(outer));
    gradients.gamma = result[result.size() - 2].data_ptr<float>();
    gradients.beta = result.back().data_ptr<float>();
    const auto workspace = launch.workspace(kernels::cuda::block_workspace(element_of(x), shape));
    kernels::cuda::block_backward(element_of(x), shape, weights_of(tensors), saved[1].const_data_ptr<float>(),
                                  x.const_data_ptr(), dy.const_data_ptr(), gradients,
                                  dx.defined() ? dx.data_ptr() : nullptr, workspace.data_ptr(), launch.stream());
    launch.check();
    return result;
  }
};

}  // namespace

bool has_block_kernel(const DilatedReparam& block, const at::Tensor& x) {
  return !block.collective && kernels::cuda::has_block_kernel(shape_of(block, x));
}

at::Tensor fused_dilated_reparam(const DilatedReparam& block, const at::Tensor& x, bool update_statistics) {
  auto fused = c10::make_intrusive<FusedBlock>();
  fused->shape = shape_of(block, x);
  if (update_statistics) fused->running = running_of(block);
  variable_list tensors;
  for (const auto& [weight, dilation, norm] : block.branches) {
    tensors.insert(tensors.end(), {weight.contiguous(), norm.weight, norm.bias});
  }
  tensors.insert(tensors.end(), {block.outer.weight, block.outer.bias});
  const auto map = x.to(autocast_type(x)).contiguous(at::MemoryFormat::ChannelsLast);
  return FusedDilatedReparam::apply(fused, map, at::TensorList(tensors));  // no vector: that is no input
}

}  // namespace unireplk::ops::cuda
