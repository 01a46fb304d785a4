#include "unireplk/train/fused.h"

#include <ATen/ops/empty_like.h>

#include "unireplk/core/error.h"

namespace unireplk::train {

at::Tensor aligned_gradient(const at::Tensor& parameter) {
  const at::Tensor& gradient = parameter.grad();
  if (gradient.strides() == parameter.strides()) return gradient;
  return at::empty_like(parameter).copy_(gradient);
}

void restore_entry(at::Tensor target, const StateReader& reader, const std::string& key) {
  const at::Tensor value = reader.tensor(key);
  if (value.sizes() != target.sizes()) {
    throw UserError({key, format("expected {} elements, got {}", target.numel(), value.numel()),
                     "The checkpoint belongs to another network."});
  }
  target.copy_(value);
}

}  // namespace unireplk::train
