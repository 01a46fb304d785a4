#include "unireplk/ops/forked_map.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "unireplk/ops/map.h"
#include "unireplk/ops/passes.h"
#include "unireplk/ops/rows.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor add_narrow(const at::Tensor& wide, const at::Tensor& narrow) {
  if (at::GradMode::is_enabled()) return wide + narrow.to(wide.scalar_type());  // which has a gradient itself
  const auto a = wide.contiguous(at::MemoryFormat::ChannelsLast), b = narrow.contiguous(at::MemoryFormat::ChannelsLast);
  const auto shape = map_rows(b);
  const auto sum = empty_map(a);
  passes_for(b)->combine_rows(shape, {.a = a, .b = b}, sum);
  return sum;
}

struct ForkMap : torch::autograd::Function<ForkMap> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, at::ScalarType narrow) {
    context->set_materialize_grads(false);
    return {x, x.to(narrow)};
  }

  static variable_list backward(AutogradContext* /*context*/, const variable_list& gradients) {
    const auto &whole = gradients[0], &narrow = gradients[1];
    if (!narrow.defined()) return {whole, {}};
    if (!whole.defined()) return {narrow.to(at::kFloat), {}};
    return {add_narrow(whole, narrow), {}};
  }
};

}  // namespace

ForkedMap fork_map(const at::Tensor& x) {
  const auto dtype = autocast_type(x);
  const bool is_narrowed = x.scalar_type() == at::kFloat && dtype != at::kFloat && x.dim() == 4 && takes_passes(x);
  if (!is_narrowed || !at::GradMode::is_enabled() || !x.requires_grad()) return {.whole = x, .narrow = x};
  const auto both = ForkMap::apply(x, dtype);
  return {.whole = both[0], .narrow = both[1]};
}

}  // namespace unireplk::ops
