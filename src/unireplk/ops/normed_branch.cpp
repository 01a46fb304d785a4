#include "unireplk/ops/normed_branch.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/ops/batch_moments.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/passes.h"
#include "unireplk/ops/rows.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor value_or_none(const std::optional<at::Tensor>& tensor) { return tensor ? *tensor : at::Tensor(); }

std::optional<at::Tensor> contiguous_if_any(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor.contiguous()) : std::nullopt;
}

/// The norm's running statistics as they move, or none.
kernels::MovingNorm moving_norm(const NormedBranch& branch, bool update_statistics) {
  if (!update_statistics) return {};
  return {.norm = running_norm("add_normed_branch", branch.norm), .momentum = branch.momentum};
}

struct FusedNormedBranch : torch::autograd::Function<FusedNormedBranch> {
  /// \param branch  gives what carries no gradient; its map, weights, layer scale and mask follow.
  static at::Tensor forward(AutogradContext* context, const NormedBranch& branch, bool update_statistics,
                            const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                            const std::optional<at::Tensor>& layer_scale, const std::optional<at::Tensor>& mask) {
    const auto shape = map_rows(y);
    const auto passes = passes_for(y);
    const Passes::TailNorm norm{
        .weight = weight, .bias = bias, .scale = value_or_none(layer_scale), .mask = value_or_none(mask)};
    const auto statistics = batch_moments(y, branch.collective.get());
    const auto [inverse, slope, shift] =
        passes->tail_factors(shape.images, norm, {statistics.mean, statistics.variance}, statistics.pixels, branch.eps,
                             moving_norm(branch, update_statistics));
    const auto result = empty_map(x);
    passes->combine_rows(shape, {.a = x, .b = y, .centre = statistics.mean, .slope = slope, .shift = shift}, result);
    context->save_for_backward({y, norm.weight, norm.bias, norm.scale, norm.mask, statistics.mean, inverse});
    context->saved_data["pixels"] = statistics.pixels;
    context->saved_data["collective"] = capsule_of(branch.collective);
    return result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "add_normed_branch: its gradient has no gradient (create_graph); use float64");
    const auto saved = context->get_saved_variables();
    const auto &y = saved[0], &mean = saved[5], &inverse = saved[6];
    const Passes::TailNorm norm{.weight = saved[1], .bias = saved[2], .scale = saved[3], .mask = saved[4]};
    const auto gradient = upstream[0].contiguous(at::MemoryFormat::ChannelsLast);
    const auto shape = map_rows(y);
    const auto passes = passes_for(y);
    auto totals = passes->tail_sums(passes->sum_rows(shape, gradient, y, mean), norm.mask, inverse);
    double ranks = 1;
    if (const auto collective = collective_of(context->saved_data["collective"])) {
      totals = collective->all_reduce(totals);
      ranks = static_cast<double>(collective->rank().count);
    }
    const auto of =
        passes->tail_gradients(shape.images, norm, inverse, totals, context->saved_data["pixels"].toDouble(), ranks);
    const auto dy = empty_map(y);
    passes->combine_rows(
        shape, {.a = gradient, .factor = of.factor, .b = y, .centre = mean, .slope = of.slope, .shift = of.shift}, dy);
    return {{}, {}, gradient, dy, of.weight, of.bias, of.scale, {}};
  }
};

void check_shapes(const at::Tensor& x, const NormedBranch& branch) {
  UNIREPLK_CHECK(x.sizes() == branch.y.sizes(), "add_normed_branch: branch {} does not fit x {}", shape_text(branch.y),
                 shape_text(x));
  const auto check = [&](const at::Tensor& vector) {
    UNIREPLK_CHECK(vector.dim() == 1 && vector.size(0) == x.size(1),
                   "add_normed_branch: vector {} does not fit x {}: expected [{}]", shape_text(vector), shape_text(x),
                   x.size(1));
  };
  for (const auto& vector : {branch.norm.weight, branch.norm.bias, branch.norm.running_mean, branch.norm.running_var}) {
    if (vector.defined()) check(vector);
  }
  if (branch.layer_scale.defined()) check(branch.layer_scale);
  UNIREPLK_CHECK(!branch.mask.defined() || branch.mask.numel() == x.size(0),
                 "add_normed_branch: mask {} does not fit x {}", shape_text(branch.mask), shape_text(x));
}

}  // namespace

bool can_fuse(const NormedBranch& branch, const at::Tensor& x) {
  const auto takes = [&](const at::Tensor& tensor) {
    return !tensor.defined() || (tensor.device() == x.device() && tensor.scalar_type() == at::kFloat);
  };
  const auto moves = [&](const at::Tensor& running) {
    return takes(running) && (!running.defined() || running.is_contiguous());
  };
  const auto& norm = branch.norm;
  const bool may_vary = branch.collective || x.size(0) * x.size(2) * x.size(3) > 1;
  return x.dim() == 4 && may_vary && has_passes(x) && has_passes(branch.y) && branch.y.device() == x.device() &&
         takes(norm.weight) && takes(norm.bias) && moves(norm.running_mean) && moves(norm.running_var) &&
         can_count(norm, x.device()) && takes(branch.layer_scale) && takes(branch.mask);
}

at::Tensor add_normed_branch(const at::Tensor& x, const NormedBranch& branch, bool update_statistics) {
  UNIREPLK_CHECK(can_fuse(branch, x), "add_normed_branch: no kernel for {} on {}", shape_text(x), x.device().str());
  check_shapes(x, branch);
  const auto dense = [](const at::Tensor& map) { return map.contiguous(at::MemoryFormat::ChannelsLast); };
  const bool has_factor = branch.mask.defined() || branch.layer_scale.defined();
  const auto dtype = has_factor ? at::kFloat : at::promote_types(x.scalar_type(), branch.y.scalar_type());
  const auto result = FusedNormedBranch::apply(branch, update_statistics, dense(x.to(dtype)), dense(branch.y),
                                               branch.norm.weight.contiguous(), branch.norm.bias.contiguous(),
                                               contiguous_if_any(branch.layer_scale), contiguous_if_any(branch.mask));
  if (update_statistics) bump_versions(branch.norm);
  return result;
}

}  // namespace unireplk::ops
