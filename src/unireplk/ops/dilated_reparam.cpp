#include "unireplk/ops/dilated_reparam.h"

#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/kernels/block.h"
#include "unireplk/ops/batch_moments.h"
#include "unireplk/ops/block_tensors.h"
#if UNIREPLK_CUDA_KERNELS
#include "unireplk/ops/cuda/dilated_reparam.h"
#endif
#include "unireplk/ops/depthwise_conv2d.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/parallel.h"
#include "unireplk/ops/shape_text.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr size_t kSavedOfForward = 3;  // x, moments, branches; the others behind them

/// What the autograd function needs besides tensors that carry gradients.
struct FusedBlock : torch::CustomClassHolder {
  kernels::BlockShape shape;
  kernels::RunningStatistics running;
  bool update_statistics = false;
  std::shared_ptr<Collective> collective;
  bool keep_branches = false;
  double pixels = 0;  ///< of the batch, of all processes; set by forward
};

/// How the kernel learns of the other processes.
kernels::OtherBatches others_of(const FusedBlock& block) {
  if (!block.collective) return {};
  auto* collective = block.collective.get();
  const int64_t channels = block.shape.map.channels;
  const auto merge = [=](int64_t maps, double pixels, std::span<float> values) {
    auto moments = at::from_blob(values.data(), {static_cast<int64_t>(values.size()) / channels, channels}, at::kFloat);
    if (pixels == 0) moments.zero_();
    const auto count = at::full({1, channels}, pixels, at::kDouble);
    const auto all = merge_over_ranks(at::cat({count, moments.to(at::kDouble)}), maps, *collective);
    moments.copy_(all.slice(0, 1));
    return all[0][0].item<double>();
  };
  const auto add = [=](std::span<double> sums) {
    auto mine = at::from_blob(sums.data(), {static_cast<int64_t>(sums.size())}, at::kDouble);
    mine.copy_(collective->all_reduce(mine));
  };
  return {.merge = merge, .add = add};
}

kernels::BlockMemory memory_of(const at::Tensor& moments, const at::Tensor& branches) {
  return {.moments = moments.data_ptr<float>(), .branches = branches.defined() ? branches.data_ptr<float>() : nullptr};
}

/// Of the gradients that backward returns, behind those of the block and x: turn sums over all ranks into means.
void average_norm_gradients(variable_list& result, int64_t ranks) {
  constexpr size_t kFirst = 2;
  for (size_t i = kFirst; i < result.size(); ++i) {
    const bool is_kernel = i + 2 < result.size() && (i - kFirst) % kTensorsOfBranch == 0;
    if (!is_kernel) result[i].div_(static_cast<double>(ranks));
  }
}

struct FusedDilatedReparam : torch::autograd::Function<FusedDilatedReparam> {
  /// \param tensors  kernel, gamma, beta of each branch, outer gamma and beta.
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<FusedBlock>& block, const at::Tensor& x,
                            at::TensorList tensors) {
    const auto& shape = block->shape;
    const auto y = empty_map(x);
    const auto options = x.options().memory_format(std::nullopt);
    const auto moments = at::empty({shape.moment_rows(), x.size(1)}, options);
    at::Tensor branches;
    if (block->keep_branches) branches = at::empty({kernels::kept_branches(shape)}, options);
    const auto threads = intra_op_threads();
    const Workspace workspace(kernels::block_workspace(shape, threads.workers));
    const auto counts = kernels::block_forward(
        shape, block_weights(tensors), block->update_statistics ? &block->running : nullptr, x.const_data_ptr<float>(),
        y.data_ptr<float>(), memory_of(moments, branches), workspace.span(), threads, others_of(*block));
    block->pixels = counts.pixels;
    if (counts.cancelled > 0) {
      write_log(LogLevel::kDebug,
                format("dilated_reparam: in {} of {} channels the branches cancel", counts.cancelled, x.size(1)));
    }
    variable_list saved{x, moments, branches};
    saved.insert(saved.end(), tensors.begin(), tensors.end());
    context->save_for_backward(std::move(saved));
    context->saved_data["block"] = c10::IValue::make_capsule(block);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "dilated_reparam: its gradient has no gradient (create_graph); use float64 for that");
    const auto capsule = context->saved_data["block"].toCapsule();
    const auto& block = static_cast<const FusedBlock&>(*capsule);
    const auto& shape = block.shape;
    const auto saved = context->get_saved_variables();
    const auto& x = saved[0];
    const at::TensorList tensors(saved.data() + kSavedOfForward, saved.size() - kSavedOfForward);
    const auto dy = upstream[0].contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor dx;
    if (x.requires_grad()) dx = empty_map(x);
    auto [of_tensors, gradients] = block_gradients(tensors);
    gradients.x = dx.defined() ? dx.data_ptr<float>() : nullptr;
    variable_list result{{}, dx};  // none for the block
    result.insert(result.end(), of_tensors.begin(), of_tensors.end());
    const auto threads = intra_op_threads();
    const Workspace workspace(kernels::block_workspace(shape, threads.workers));
    kernels::block_backward(shape, block_weights(tensors), memory_of(saved[1], saved[2]), block.pixels,
                            x.const_data_ptr<float>(), dy.const_data_ptr<float>(), gradients, workspace.span(), threads,
                            others_of(block));
    if (block.collective) average_norm_gradients(result, block.collective->rank().count);
    return result;
  }
};

void check_shapes(const DilatedReparam& block, const at::Tensor& x) {
  const auto check_vector = [&](const at::Tensor& vector) {
    UNIREPLK_CHECK(vector.dim() == 1 && vector.size(0) == x.size(1) && vector.is_contiguous(),
                   "dilated_reparam: norm {} does not fit x {}: expected [{}]", shape_text(vector), shape_text(x),
                   x.size(1));
  };
  const auto check_norm = [&](const NormTensors& norm) {
    for (const auto& vector : {norm.weight, norm.bias, norm.running_mean, norm.running_var}) {
      if (vector.defined()) check_vector(vector);
    }
  };
  for (const auto& [weight, dilation, norm] : block.branches) {
    UNIREPLK_CHECK(weight.dim() == 4 && weight.size(0) == x.size(1) && weight.size(1) == 1 &&
                       weight.size(2) == weight.size(3) && weight.size(2) % 2 == 1,
                   "dilated_reparam: kernel {} does not fit x {}: expected [{}, 1, k, k], k odd", shape_text(weight),
                   shape_text(x), x.size(1));
    UNIREPLK_CHECK(dilation * (weight.size(2) / 2) <= block.branches[0].weight.size(2) / 2,
                   "dilated_reparam: kernel {} with dilation {} reaches beyond {}", shape_text(weight), dilation,
                   shape_text(block.branches[0].weight));
    check_norm(norm);
  }
  check_norm(block.outer);
}

bool is_float_on(const at::Device& device, const at::Tensor& tensor) {
  return tensor.device() == device && tensor.scalar_type() == at::kFloat;
}

bool has_floats(const NormTensors& norm, const at::Device& device, bool wants_running) {
  const auto takes = [&](const at::Tensor& running) {
    return running.defined() ? is_float_on(device, running) : !wants_running;
  };
  return is_float_on(device, norm.weight) && is_float_on(device, norm.bias) && takes(norm.running_mean) &&
         takes(norm.running_var) && (wants_running || can_count(norm, device));
}

void bump_all_versions(const DilatedReparam& block) {
  for (const auto& branch : block.branches) bump_versions(branch.norm);
  bump_versions(block.outer);
}

/// Whether every tap of every small branch meets the map. A branch of which one tap alone does is undone by its norm:
/// what is left of its gradient is rounding, and that of the moments is larger than that of a graph of parts.
bool every_tap_meets(const DilatedReparam& block, const at::Tensor& x) {
  return std::all_of(block.branches.begin() + 1, block.branches.end(), [&](const DilatedBranch& branch) {
    return branch.dilation * (branch.weight.size(2) / 2) < std::min(x.size(2), x.size(3));
  });
}

}  // namespace

bool can_fuse(const DilatedReparam& block, const at::Tensor& x, bool batch_statistics) {
  if (block.branches.empty() || block.branches.size() > static_cast<size_t>(kernels::kMaxBranches)) return false;
  if (x.dim() != 4 || !has_floats(block.outer, x.device(), !batch_statistics)) return false;
  const auto& large = block.branches[0];
  if (!has_depthwise_kernel(x, large.weight, large.dilation) || large.dilation != 1) return false;
  const bool all_float = std::all_of(block.branches.begin(), block.branches.end(), [&](const DilatedBranch& branch) {
    return is_float_on(x.device(), branch.weight) && has_floats(branch.norm, x.device(), !batch_statistics);
  });
#if UNIREPLK_CUDA_KERNELS
  if (batch_statistics && x.is_cuda() && !cuda::has_block_kernel(block, x)) return false;
#endif
  const bool may_vary = block.collective || x.size(0) * x.size(2) * x.size(3) > 1;
  return all_float && (!batch_statistics || (may_vary && every_tap_meets(block, x)));
}

at::Tensor fused_dilated_reparam(const DilatedReparam& block, const at::Tensor& x, bool update_statistics) {
  UNIREPLK_CHECK(can_fuse(block, x, /*batch_statistics=*/true), "dilated_reparam: no kernel for {} on {}",
                 shape_text(x), x.device().str());
  check_shapes(block, x);
#if UNIREPLK_CUDA_KERNELS
  if (x.is_cuda()) {
    const auto y = cuda::fused_dilated_reparam(block, x, update_statistics);
    if (update_statistics) bump_all_versions(block);
    return y;
  }
#endif
  auto fused = c10::make_intrusive<FusedBlock>();
  fused->update_statistics = update_statistics;
  fused->collective = block.collective;
  fused->keep_branches = block.keep_branches && at::GradMode::is_enabled();
  fused->shape = block_shape(block, x);
  if (update_statistics) fused->running = running_statistics(block);
  const auto tensors = block_tensors(block);
  const auto dtype = autocast_type(x);
  const auto map = x.to(dtype).to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
  const auto y = FusedDilatedReparam::apply(fused, map, at::TensorList(tensors));  // no vector: that is no input
  if (update_statistics) bump_all_versions(block);
  return y.to(dtype);
}

at::Tensor merged_dilated_reparam(const DilatedReparam& block, const at::Tensor& x) {
  UNIREPLK_CHECK(can_fuse(block, x, /*batch_statistics=*/false), "dilated_reparam: no kernel for {} on {}",
                 shape_text(x), x.device().str());
  check_shapes(block, x);
  using at::indexing::Slice;
  const int64_t size = block.branches[0].weight.size(2);
  auto kernel = at::zeros_like(block.branches[0].weight);
  auto sum = -block.outer.running_mean;
  for (const auto& [weight, dilation, norm] : block.branches) {
    const auto slope = norm.weight / (norm.running_var + block.eps).sqrt();
    const int64_t start = size / 2 - dilation * (weight.size(2) / 2);
    const Slice taps(start, size - start, dilation);
    kernel.index({Slice(), Slice(), taps, taps}).add_(weight * slope.view({-1, 1, 1, 1}));
    sum = sum + norm.bias - slope * norm.running_mean;
  }
  const auto slope = block.outer.weight / (block.outer.running_var + block.eps).sqrt();
  return depthwise_conv2d(x, kernel * slope.view({-1, 1, 1, 1}), block.outer.bias + slope * sum, 1);
}

}  // namespace unireplk::ops
