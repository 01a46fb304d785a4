#include "unireplk/ops/cuda/dilated_reparam.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/kernels/cuda/block.h"
#include "unireplk/ops/block_tensors.h"
#include "unireplk/ops/cuda/launch.h"
#include "unireplk/ops/map.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr size_t kSavedOfForward = 2;  // x, moments; the others behind them

/// What the autograd function needs besides tensors that carry gradients.
struct FusedBlock : torch::CustomClassHolder {
  kernels::BlockShape shape;
  std::optional<kernels::RunningStatistics> running;
};

struct FusedDilatedReparam : torch::autograd::Function<FusedDilatedReparam> {
  /// \param tensors  kernel, gamma, beta of each branch, outer gamma and beta.
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<FusedBlock>& block, const at::Tensor& x,
                            at::TensorList tensors) {
    const Launch launch(x);
    const auto& shape = block->shape;
    const auto plan = kernels::cuda::plan_block(element_of(x), shape);
    const auto y = empty_map(x);
    const auto moments = at::empty({plan.moments, x.size(1)}, tensors[1].options());
    const auto workspace = launch.workspace(plan.forward_bytes);
    kernels::cuda::block_forward(plan, element_of(x), shape, block_weights(tensors),
                                 block->running ? &*block->running : nullptr, x.const_data_ptr(), y.data_ptr(),
                                 moments.data_ptr<float>(), workspace.data_ptr(), launch.stream());
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
    const auto dy = aligned_map(upstream[0]);
    at::Tensor dx;
    if (x.requires_grad()) dx = empty_map(x);
    const auto [of_tensors, gradients] = block_gradients(tensors);
    const auto plan = kernels::cuda::plan_block(element_of(x), shape);
    const auto workspace = launch.workspace(plan.backward_bytes);
    kernels::cuda::block_backward(plan, element_of(x), shape, block_weights(tensors), saved[1].const_data_ptr<float>(),
                                  x.const_data_ptr(), dy.const_data_ptr(), gradients,
                                  dx.defined() ? dx.data_ptr() : nullptr, workspace.data_ptr(), launch.stream());
    launch.check();
    variable_list result{{}, dx};  // none for the block
    result.insert(result.end(), of_tensors.begin(), of_tensors.end());
    return result;
  }
};

}  // namespace

bool has_block_kernel(const DilatedReparam& block, const at::Tensor& x) {
  return !block.collective && kernels::cuda::has_block_kernel(block_shape(block, x));
}

at::Tensor fused_dilated_reparam(const DilatedReparam& block, const at::Tensor& x, bool update_statistics) {
  auto fused = c10::make_intrusive<FusedBlock>();
  fused->shape = block_shape(block, x);
  if (update_statistics) fused->running = running_statistics(block);
  const auto tensors = block_tensors(block);
  const auto map = aligned_map(x.to(autocast_type(x)));
  return FusedDilatedReparam::apply(fused, map, at::TensorList(tensors));  // no vector: that is no input
}

}  // namespace unireplk::ops::cuda
