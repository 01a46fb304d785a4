#include "unireplk/ops/onednn.h"

#include <ATen/Context.h>

#include <string_view>

namespace unireplk::ops {
namespace {

using LinearPointwise = at::Tensor(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                                   std::string_view activation, c10::List<std::optional<at::Scalar>> scalars,
                                   std::optional<std::string_view> algorithm);

}  // namespace

bool has_onednn() { return at::hasMKLDNN() && at::globalContext().userEnabledMkldnn(); }

at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                         const char* activation) {
  return operator_named<LinearPointwise>("mkldnn::_linear_pointwise")
      .call(x, weight, bias, activation, c10::List<std::optional<at::Scalar>>(), "none");
}

}  // namespace unireplk::ops
