#include "unireplk/train/gradients.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

#include "unireplk/core/error.h"

namespace unireplk::train {

at::Tensor clip_gradients(const std::vector<at::Tensor>& gradients, std::optional<double> max_norm) {
  UNIREPLK_CHECK(!gradients.empty(), "no parameter has a gradient");
  const at::NoGradGuard no_grad;
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, 2)));
  if (max_norm) at::_foreach_mul_(gradients, norm.add(1e-6).reciprocal().mul(*max_norm).clamp_max(1.0));
  return norm;
}

}  // namespace unireplk::train
