#include "unireplk/nn/dropout.h"

#include <ATen/ops/empty_like.h>

namespace unireplk::nn {

at::Tensor dropout(const at::Tensor& x, double rate, const std::optional<at::Generator>& generator) {
  if (!generator || rate == 0) return x;
  const double kept = 1 - rate;
  return x * at::empty_like(x.detach()).bernoulli_(kept, *generator).div_(kept);
}

}  // namespace unireplk::nn
