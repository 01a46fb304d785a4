#include "unireplk/ops/linear.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/products.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Libraries {
  Library forward, data, weight;
};

Libraries libraries_for(const ProductTable& table, const at::Tensor& x, const at::Tensor& weight) {
  const ProductShape shape{.rows = x.numel() / x.size(-1), .in = weight.size(1), .out = weight.size(0)};
  const auto library = [&](ProductPass pass) { return library_for(table, shape, pass); };
  return {library(ProductPass::kForward), library(ProductPass::kData), library(ProductPass::kWeight)};
}

at::Tensor rows_of_any(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}).contiguous(); }

std::vector<int64_t> with_last(at::IntArrayRef sizes, int64_t last) {
  auto result = sizes.vec();
  result.back() = last;
  return result;
}

/// A linear layer of which some product is not MKL's.
struct TabledLinear : torch::autograd::Function<TabledLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const Libraries& libraries) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    context->saved_data["data"] = static_cast<int64_t>(libraries.data);
    context->saved_data["weight"] = static_cast<int64_t>(libraries.weight);
    if (libraries.forward == Library::kMkl) return at::linear(x, weight, bias);
    auto y = multiply(libraries.forward, ProductPass::kForward, rows_of_any(x), weight.contiguous());
    if (bias) y.add_(*bias);
    return y.view(with_last(x.sizes(), weight.size(0)));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &dy = gradients[0];
    const auto flat_dy = rows_of_any(dy), flat_x = rows_of_any(x);
    // A graph of this gradient needs operators that have gradients themselves.
    const bool with_graph = at::GradMode::is_enabled();
    const auto product = [&](const char* name, ProductPass pass, const at::Tensor& a, const at::Tensor& b) {
      if (with_graph) return pass == ProductPass::kData ? a.mm(b) : a.t().mm(b);
      return multiply(static_cast<Library>(context->saved_data[name].toInt()), pass, a, b.contiguous());
    };
    at::Tensor dx, dweight, dbias;
    if (context->needs_input_grad(0)) dx = product("data", ProductPass::kData, flat_dy, weight).view(x.sizes());
    if (context->needs_input_grad(1)) dweight = product("weight", ProductPass::kWeight, flat_dy, flat_x);
    if (context->saved_data["has_bias"].toBool() && context->needs_input_grad(2)) dbias = flat_dy.sum(0);
    return {dx, dweight, dbias, {}};
  }
};

/// Whether there is a choice.
bool has_products(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return stays_plain_float(x) && is_plain_float(weight) && (!bias.defined() || is_plain_float(bias)) && x.numel() > 0 &&
         weight.numel() > 0 && can_multiply(Library::kOneDnn);
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ProductTable& table) {
  UNIREPLK_CHECK(weight.dim() == 2 && x.dim() >= 1 && x.size(-1) == weight.size(1) &&
                     (!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0))),
                 "linear: weight {} and bias {} do not fit x {}", shape_text(weight), shape_text(bias), shape_text(x));
  const auto given_bias = bias.defined() ? std::optional(bias) : std::nullopt;
  if (!has_products(x, weight, bias)) return at::linear(x, weight, given_bias);
  const auto libraries = libraries_for(table, x, weight);
  const auto is_mkl = [](Library library) { return library == Library::kMkl; };
  if (is_mkl(libraries.forward) && is_mkl(libraries.data) && is_mkl(libraries.weight)) {
    return at::linear(x, weight, given_bias);
  }
  return TabledLinear::apply(x, weight, given_bias, libraries);
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return ops::linear(x, weight, bias, product_table());
}

}  // namespace unireplk::ops
