#include "unireplk/train/fused.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>

#include "unireplk/core/error.h"

namespace unireplk::train {
namespace {

/// Whether both lie in memory in one order: strides of single elements mean nothing.
bool has_order_of(const at::Tensor& tensor, const at::Tensor& other) {
  for (int64_t i = 0; i < tensor.dim(); ++i) {
    if (tensor.size(i) != 1 && tensor.stride(i) != other.stride(i)) return false;
  }
  return true;
}

}  // namespace

at::Tensor laid_out_as(const at::Tensor& place, const at::Tensor& tensor) {
  if (tensor.strides() == place.strides()) return tensor;
  if (has_order_of(tensor, place)) return tensor.as_strided(place.sizes(), place.strides());
  return at::empty_like(place).copy_(tensor);
}

at::Tensor aligned_gradient(const at::Tensor& parameter) { return laid_out_as(parameter, parameter.grad()); }

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

// A step of plain gradient descent, as above.
void subtract_together(const std::vector<at::Tensor>& targets, const std::vector<at::Tensor>& values,
                       const at::Tensor& factor, const at::Tensor& skip) {
  if (!factor.defined()) return;
  const at::NoGradGuard no_grad;
  at::_fused_sgd_(targets, values, /*momentum_buffer_list=*/at::TensorList{}, /*weight_decay=*/0.0, /*momentum=*/0.0,
                  factor, /*dampening=*/0.0, /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false,
                  /*grad_scale=*/{}, found_inf(skip));
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
