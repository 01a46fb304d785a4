#include "unireplk/train/ema.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

namespace unireplk::train {

void Ema::update(const at::Tensor& skip) {
  const at::NoGradGuard no_grad;
  mix_in((1 - skip.to(at::kDouble)) * (1 - decay_));
}

}  // namespace unireplk::train
