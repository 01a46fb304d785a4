#include "unireplk/ops/grn.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/ops/linear.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/passes.h"
#include "unireplk/ops/rows.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor relative_norms(const at::Tensor& norms) {  // of channels, which are last
  return norms / (norms.mean(-1, /*keepdim=*/true) + kernels::kGrnEps);
}

/// h = gelu(z + bias) and its normalisation: two passes over z forward and two backward. Keeps z and the norms of h.
struct FusedGeluGrn : torch::autograd::Function<FusedGeluGrn> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& z, const at::Tensor& bias,
                            const at::Tensor& gamma, const std::optional<at::Tensor>& beta) {
    const auto shape = rows_of(z);
    const auto passes = passes_for(z);
    const auto norms = passes->gelu_squares(shape, z, bias);  // squares of them at first
    const auto factor = passes->grn_factors(norms, gamma.flatten());
    const auto y = passes->gelu_scale(shape, z, bias, factor, beta ? *beta : at::Tensor());
    context->save_for_backward({z, bias, gamma, norms});
    context->saved_data["has_beta"] = beta.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    UNIREPLK_CHECK(!at::GradMode::is_enabled(),
                   "linear_gelu_grn: its gradient has no gradient (create_graph); use float64");
    const auto saved = context->get_saved_variables();
    const auto &z = saved[0], &bias = saved[1], &gamma = saved[2], &norms = saved[3];
    const auto dy = gradients[0].contiguous();
    const auto shape = rows_of(z);
    const auto passes = passes_for(z);
    const auto [products, dbeta] = passes->gelu_products(shape, dy, z, bias);
    const auto [factor, slope, dgamma] = passes->grn_gradients(products, norms, gamma.flatten());
    Passes::GeluGradients of;
    if (context->needs_input_grad(0) || context->needs_input_grad(1)) {
      of = passes->gelu_combine(shape, dy, factor, z, bias, slope);
    }
    return {of.z, of.bias, dgamma.view_as(gamma),
            context->saved_data["has_beta"].toBool() ? dbeta.view_as(gamma) : at::Tensor()};
  }
};

void check_parameters(const char* name, const at::Tensor& x, int64_t channels, const at::Tensor& gamma,
                      const at::Tensor& beta) {
  UNIREPLK_CHECK(x.dim() == 4, "{}: expected x [N, H, W, C], got {}", name, shape_text(x));
  const std::vector<int64_t> parameter_shape{1, 1, 1, channels};
  UNIREPLK_CHECK(gamma.sizes() == parameter_shape, "{}: gamma {} does not fit x {}: expected [1, 1, 1, {}]", name,
                 shape_text(gamma), shape_text(x), channels);
  UNIREPLK_CHECK(!beta.defined() || beta.sizes() == parameter_shape,
                 "{}: beta {} does not fit x {}: expected [1, 1, 1, {}]", name, shape_text(beta), shape_text(x),
                 channels);
}

}  // namespace

at::Tensor grn(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta) {
  check_parameters("grn", x, x.size(-1), gamma, beta);
  const auto wide = c10::promoteTypes(x.scalar_type(), at::kFloat);
  const auto norms = at::linalg_vector_norm(x, 2, at::IntArrayRef{1, 2}, /*keepdim=*/true, wide);  // [N, 1, 1, C]
  const auto factor = (gamma.to(wide) * relative_norms(norms) + 1).to(x.scalar_type());
  return beta.defined() ? at::addcmul(beta.to(x.scalar_type()), x, factor) : x * factor;
}

at::Tensor grn_in_place(at::Tensor x, const at::Tensor& gamma) {
  if (!is_dense_float(x) || !is_dense_float(gamma)) return grn(x, gamma, /*beta=*/{});
  check_parameters("grn_in_place", x, x.size(-1), gamma, /*beta=*/{});
  const auto shape = rows_of(x);
  const auto passes = passes_for(x);
  const auto factor = passes->grn_factors(passes->sum_rows(shape, x, x, {}).products, gamma.flatten());
  passes->combine_rows(shape, {.a = x, .factor = factor}, x);
  return x;
}

at::Tensor linear_gelu_grn(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           const at::Tensor& gamma, const at::Tensor& beta) {
  check_parameters("linear_gelu_grn", x, weight.size(0), gamma, beta);
  const auto takes = [&](const at::Tensor& parameter) { return is_parameter_of(x, parameter); };
  const bool has_kernel =
      takes_passes(x) && takes(weight) && takes(bias) && takes(gamma) && (!beta.defined() || takes(beta));
  if (!has_kernel) return grn(at::gelu(ops::linear(x, weight, bias)), gamma, beta);
  return FusedGeluGrn::apply(ops::linear(x, weight).contiguous(), bias, gamma,
                             beta.defined() ? std::optional(beta) : std::nullopt);
}

}  // namespace unireplk::ops
