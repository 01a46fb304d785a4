#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace unireplk::ops {

/// A part of a network that can be run again. `recomputing` is true in the second run: it must give the same
/// result and leave no trace (no running statistics); anything random is drawn outside and captured.
using Recomputable = std::function<at::Tensor(const at::Tensor& x, bool recomputing)>;

/// Run `part` on x without keeping its activations; they are computed again in backward (spec: model,
/// section 2.7).
///
/// \param parameters  every tensor besides x that `part` needs gradients for.
/// Gradients reach x and the parameters as usual, hooks included. Autocast is as in the first run.
at::Tensor checkpoint(Recomputable part, const at::Tensor& x, const std::vector<at::Tensor>& parameters);

}  // namespace unireplk::ops
