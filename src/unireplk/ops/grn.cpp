#include "unireplk/ops/grn.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/where.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/kernels/grn.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/parallel.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kEps = 1e-6;

/// What norms of channels, which are last, are divided by.
at::Tensor divisor_of(const at::Tensor& norms) { return norms.mean(-1, /*keepdim=*/true) + kEps; }

at::Tensor relative_norms(const at::Tensor& norms) { return norms / divisor_of(norms); }

/// The definition, as LibTorch's operators.
at::Tensor grn_of_parts(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta) {
  const auto wide = c10::promoteTypes(x.scalar_type(), at::kFloat);
  const auto norms = at::linalg_vector_norm(x, 2, at::IntArrayRef{1, 2}, /*keepdim=*/true, wide);  // [N, 1, 1, C]
  const auto factor = (gamma.to(wide) * relative_norms(norms) + 1).to(x.scalar_type());
  return beta.defined() ? at::addcmul(beta.to(x.scalar_type()), x, factor) : x * factor;
}

kernels::RowsShape rows_of(const at::Tensor& x) {
  return {.images = x.size(0), .pixels = x.size(1) * x.size(2), .channels = x.size(3)};
}

at::Tensor per_channel(const at::Tensor& x) { return at::empty({x.size(0), x.size(3)}, x.options()); }

/// Two passes over x forward and two backward. Keeps x and its norms.
struct FusedGrn : torch::autograd::Function<FusedGrn> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& any_x, const at::Tensor& gamma,
                            const std::optional<at::Tensor>& beta) {
    const auto x = any_x.contiguous();
    const auto threads = intra_op_threads();
    const auto squares = per_channel(x);
    const auto* values = x.const_data_ptr<float>();
    kernels::channel_products(rows_of(x), values, values, squares.data_ptr<float>(), nullptr, threads);
    const auto norms = squares.sqrt();
    const auto factor = relative_norms(norms).mul_(gamma.view({1, -1})).add_(1);
    const auto y = at::empty_like(x);
    const auto shift = beta ? beta->contiguous() : at::Tensor();
    kernels::scale_channels(rows_of(x), values, factor.const_data_ptr<float>(),
                            beta ? shift.const_data_ptr<float>() : nullptr, y.data_ptr<float>(), threads);
    context->save_for_backward({x, gamma, norms});
    context->saved_data["has_beta"] = beta.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(), "grn: its gradient has no gradient (create_graph); use float64");
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &gamma = saved[1], &norms = saved[2];
    const auto dy = gradients[0].contiguous();
    const auto threads = intra_op_threads();
    const auto products = per_channel(x), sums = per_channel(x);
    kernels::channel_products(rows_of(x), dy.const_data_ptr<float>(), x.const_data_ptr<float>(),
                              products.data_ptr<float>(), sums.data_ptr<float>(), threads);
    const auto divisor = divisor_of(norms), relative = norms / divisor, weight = gamma.view({1, -1});
    at::Tensor dbeta;
    if (context->saved_data["has_beta"].toBool()) dbeta = sums.sum(0).view_as(gamma);
    at::Tensor dx;
    if (context->needs_input_grad(0)) {
      const auto of_relative = products * weight;  // gradient of the relative norms
      const auto of_mean = (of_relative * relative).mean(-1, /*keepdim=*/true);
      const auto slope = at::where(norms.gt(0), (of_relative - of_mean) / (divisor * norms), 0.0);
      const auto factor = relative * weight + 1;
      dx = at::empty_like(x);
      kernels::combine_channels(rows_of(x), dy.const_data_ptr<float>(), factor.const_data_ptr<float>(),
                                x.const_data_ptr<float>(), slope.const_data_ptr<float>(), dx.data_ptr<float>(),
                                threads);
    }
    return {dx, (relative * products).sum(0).view_as(gamma), dbeta};
  }
};

}  // namespace

at::Tensor grn(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta) {
  UNIREPLK_CHECK(x.dim() == 4, "grn: expected x [N, H, W, C], got {}", shape_text(x));
  const std::vector<int64_t> parameter_shape{1, 1, 1, x.size(3)};
  UNIREPLK_CHECK(gamma.sizes() == parameter_shape, "grn: gamma {} does not fit x {}: expected [1, 1, 1, {}]",
                 shape_text(gamma), shape_text(x), x.size(3));
  UNIREPLK_CHECK(!beta.defined() || beta.sizes() == parameter_shape,
                 "grn: beta {} does not fit x {}: expected [1, 1, 1, {}]", shape_text(beta), shape_text(x), x.size(3));
  const bool has_kernel = is_plain_float(x) && is_plain_float(gamma) && (!beta.defined() || is_plain_float(beta));
  if (!has_kernel) return grn_of_parts(x, gamma, beta);
  return FusedGrn::apply(x, gamma, beta.defined() ? std::optional(beta) : std::nullopt);
}

}  // namespace unireplk::ops
