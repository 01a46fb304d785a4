#include "unireplk/ops/normed_branch.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <torch/csrc/autograd/custom_function.h>

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

/// A row [C] for each image.
at::Tensor table_of(const at::Tensor& row, const at::Tensor& mask) { return (mask * row).contiguous(); }

struct FusedNormedBranch : torch::autograd::Function<FusedNormedBranch> {
  /// \param branch  gives what carries no gradient; its map, weights, layer scale and mask [N, 1] follow.
  static at::Tensor forward(AutogradContext* context, const NormedBranch& branch, bool update_statistics,
                            const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& layer_scale, const at::Tensor& mask) {
    const auto shape = map_rows(y);
    const auto statistics = batch_moments(y, branch.collective.get());
    if (update_statistics) move_running_statistics(branch.norm, statistics, branch.momentum);
    const auto inverse = (statistics.variance + branch.eps).rsqrt();
    const auto slope = table_of(weight * inverse * layer_scale, mask), shift = table_of(bias * layer_scale, mask);
    const auto result = empty_map(x);
    passes_for(y)->combine_rows(shape, {.a = x, .b = y, .centre = statistics.mean, .slope = slope, .shift = shift},
                                result);
    context->save_for_backward({y, weight, bias, layer_scale, mask, statistics.mean, inverse});
    context->saved_data["pixels"] = statistics.pixels;
    context->saved_data["collective"] = capsule_of(branch.collective);
    return result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "add_normed_branch: its gradient has no gradient (create_graph); use float64");
    const auto saved = context->get_saved_variables();
    const auto &y = saved[0], &weight = saved[1], &bias = saved[2], &scale = saved[3], &mask = saved[4];
    const auto &mean = saved[5], &inverse = saved[6];
    const auto gradient = upstream[0].contiguous(at::MemoryFormat::ChannelsLast);
    const auto shape = map_rows(y);
    const auto passes = passes_for(y);
    const auto [sums, products] = passes->sum_rows(shape, gradient, y, mean);
    auto sum = (sums * mask).sum(0), of_normal = (products * mask).sum(0).mul_(inverse);  // of sample and scale
    double ranks = 1;
    if (const auto collective = collective_of(context->saved_data["collective"])) {
      const auto of_all = collective->all_reduce(at::stack({sum, of_normal}));
      sum = of_all[0], of_normal = of_all[1], ranks = static_cast<double>(collective->rank().count);
    }
    const auto slope = weight * inverse * scale;
    const auto share = slope / context->saved_data["pixels"].toDouble();
    const auto factor = table_of(slope, mask);
    const auto ones = at::ones_like(mask);
    const auto slopes = table_of(share * inverse * of_normal, -ones), shift = table_of(share * sum, -ones);
    const auto dy = empty_map(y);
    passes->combine_rows(
        shape, {.a = gradient, .factor = factor, .b = y, .centre = mean, .slope = slopes, .shift = shift}, dy);
    const auto share_of_rank = [&](const at::Tensor& gradient_of_all) {
      return ranks == 1 ? gradient_of_all : gradient_of_all / ranks;
    };
    return {{},
            {},
            gradient,
            dy,
            share_of_rank(scale * of_normal),
            share_of_rank(scale * sum),
            share_of_rank(weight * of_normal + bias * sum),
            {}};
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
  const auto& norm = branch.norm;
  const bool may_vary = branch.collective || x.size(0) * x.size(2) * x.size(3) > 1;
  return x.dim() == 4 && may_vary && has_passes(x) && has_passes(branch.y) && branch.y.device() == x.device() &&
         takes(norm.weight) && takes(norm.bias) && takes(norm.running_mean) && takes(norm.running_var) &&
         takes(branch.layer_scale) && takes(branch.mask);
}

at::Tensor add_normed_branch(const at::Tensor& x, const NormedBranch& branch, bool update_statistics) {
  UNIREPLK_CHECK(can_fuse(branch, x), "add_normed_branch: no kernel for {} on {}", shape_text(x), x.device().str());
  check_shapes(x, branch);
  const auto dense = [](const at::Tensor& map) { return map.contiguous(at::MemoryFormat::ChannelsLast); };
  const auto floats = x.options().dtype(at::kFloat);
  const auto mask = branch.mask.defined() ? branch.mask.view({-1, 1}) : at::ones({x.size(0), 1}, floats);
  const auto scale = branch.layer_scale.defined() ? branch.layer_scale : at::ones({x.size(1)}, floats);
  const bool has_factor = branch.mask.defined() || branch.layer_scale.defined();
  const auto dtype = has_factor ? at::kFloat : at::promote_types(x.scalar_type(), branch.y.scalar_type());
  return FusedNormedBranch::apply(branch, update_statistics, dense(x.to(dtype)), dense(branch.y), branch.norm.weight,
                                  branch.norm.bias, scale, mask);
}

}  // namespace unireplk::ops
