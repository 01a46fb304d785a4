#include "unireplk/ops/shared_batch_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "unireplk/core/error.h"
#include "unireplk/ops/batch_moments.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Normalise with given statistics.
at::Tensor normalise(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const BatchMoments& moments,
                     double eps) {
  if (x.numel() == 0) return at::empty_like(x);
  return at::batch_norm(x, weight, bias, moments.mean, moments.variance, /*training=*/false, /*momentum=*/0, eps,
                        /*cudnn_enabled=*/false);
}

struct SharedBatchNorm : torch::autograd::Function<SharedBatchNorm> {
  static at::Tensor forward(AutogradContext* context, const BatchMoments& moments, double eps,
                            const std::shared_ptr<Collective>& collective, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias) {
    context->save_for_backward({x, weight, moments.mean, moments.variance});
    context->saved_data["pixels"] = moments.pixels;
    context->saved_data["eps"] = eps;
    context->saved_data["collective"] = capsule_of(collective);
    return normalise(x, weight, bias, moments, eps);
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(), "shared_batch_norm: its gradient has no gradient (create_graph)");
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const BatchMoments moments{saved[2], saved[3], context->saved_data["pixels"].toDouble()};
    const double eps = context->saved_data["eps"].toDouble();
    const auto collective = collective_of(context->saved_data["collective"]);
    // As if the statistics were constants; then what follows from their being means over all pixels.
    auto dx = at::empty_like(x), dweight = at::zeros_like(weight), dbias = at::zeros_like(weight);
    if (x.numel() > 0) {
      std::tie(dx, dweight, dbias) = at::native_batch_norm_backward(
          upstream[0], x, weight, moments.mean, moments.variance, {}, {}, /*train=*/false, eps, {true, true, true});
    }
    const auto sums = collective->all_reduce(at::stack({dweight, dbias}).to(at::kDouble));
    const auto slope = weight / (moments.variance + eps).sqrt() / moments.pixels;
    dx.sub_(normalise(x, (slope * sums[0]).to(weight.dtype()), (slope * sums[1]).to(weight.dtype()), moments, eps));
    const auto means = (sums / static_cast<double>(collective->rank().count)).to(weight.dtype());
    return {{}, {}, {}, dx, means[0], means[1]};
  }
};

}  // namespace

at::Tensor shared_batch_norm(const at::Tensor& x, const NormTensors& norm, double eps, double momentum,
                             bool update_statistics, const std::shared_ptr<Collective>& collective) {
  UNIREPLK_CHECK(x.dim() == 4 && norm.weight.dim() == 1 && norm.weight.size(0) == x.size(1),
                 "shared_batch_norm: weight {} does not fit x {}", shape_text(norm.weight), shape_text(x));
  const at::Tensor values = x.detach();
  const auto moments = batch_moments(values, collective.get());
  if (update_statistics) {
    const at::NoGradGuard no_graph;
    move_running_statistics(norm, moments, momentum);
  }
  return SharedBatchNorm::apply(moments, eps, collective, x, norm.weight, norm.bias);
}

}  // namespace unireplk::ops
