#include "unireplk/train/fused.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>

#include "unireplk/core/error.h"

namespace unireplk::train {

at::Tensor aligned_gradient(const at::Tensor& parameter) {
  const at::Tensor& gradient = parameter.grad();
  if (gradient.strides() == parameter.strides()) return gradient;
  return at::empty_like(parameter).copy_(gradient);
}

// A step of plain gradient descent down half the squared distance, for LibTorch's knows how to be skipped.
void move_together(const std::vector<at::Tensor>& averages, const std::vector<at::Tensor>& values,
                   const at::Tensor& share, int64_t most_bytes) {
  if (averages.empty()) return;
  const at::NoGradGuard no_grad;
  const auto options = averages.front().options().dtype(at::kFloat);
  const at::Tensor rate = share.to(options), is_none = share.eq(0).to(options);
  for (size_t first = 0, last = 0; first < averages.size(); first = last) {
    int64_t bytes = 0;
    do {
      bytes += static_cast<int64_t>(averages[last++].nbytes());
    } while (last < averages.size() && bytes + static_cast<int64_t>(averages[last].nbytes()) <= most_bytes);
    const at::TensorList some(averages.data() + first, last - first);
    const auto distances = at::_foreach_sub(some, at::TensorList(values.data() + first, last - first));
    at::_fused_sgd_(some, distances, /*momentum_buffer_list=*/at::TensorList{}, /*weight_decay=*/0.0, /*momentum=*/0.0,
                    rate, /*dampening=*/0.0, /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false,
                    /*grad_scale=*/{}, is_none);
  }
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
