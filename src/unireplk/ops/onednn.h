#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

namespace unireplk::ops {

/// Whether LibTorch was built with oneDNN and may use it.
bool has_onednn();

/// An operator that LibTorch has for its compiler alone: no function of at:: calls it.
template <class Signature>
c10::TypedOperatorHandle<Signature> operator_named(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

/// activation(x * weight^T + bias) by oneDNN, float32 on the CPU, not empty. No gradients flow through it.
/// \param weight      [out, in], as it is or laid out by "mkldnn::_reorder_linear_weight"
/// \param activation  "none" or "gelu"
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                         const char* activation);

}  // namespace unireplk::ops
