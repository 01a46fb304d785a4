#pragma once

#include <algorithm>

#include "support/golden.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/models/unireplknet.h"

namespace unireplk::models {

/// A network with the weights of the goldens.
inline UniRepLKNet filled(const UniRepLKNetOptions& options, at::ScalarType dtype = at::kFloat) {
  UniRepLKNet network(options, at::TensorOptions(dtype));
  test::fill(state_dict(*network));
  return network;
}

/// Weights as a file would hold them: copies, with the batch norms' counts at 7.
inline NamedTensors weights(const UniRepLKNetOptions& options, const std::string& prefix = "") {
  NamedTensors result;
  const auto network = filled(options);
  for (const auto& [name, tensor] : state_dict(*network)) {
    result.emplace_back(prefix + name, tensor.detach().clone());
    if (name.ends_with("num_batches_tracked")) result.back().second.fill_(7);
  }
  return result;
}

/// A network with every number 0.
inline UniRepLKNet blank(const UniRepLKNetOptions& options) {
  UniRepLKNet network(options);
  for (const auto& [name, tensor] : state_dict(*network)) tensor.detach().zero_();
  return network;
}

/// Whether every number is 0.
inline bool is_blank(const at::Tensor& tensor) { return tensor.eq(0).all().item<bool>(); }

inline bool is_blank(const UniRepLKNetImpl& network) {
  return std::ranges::all_of(state_dict(network), [](const auto& entry) { return is_blank(entry.second); });
}

/// One narrow block a stage, of every kind of kernel.
inline UniRepLKNetOptions small(int64_t classes = 3, int64_t channels = 3) {
  return {.depths = {1, 1, 1, 1},
          .dims = {8, 8, 8, 8},
          .kernel_sizes = {{0}, {3}, {7}, {13}},
          .in_channels = channels,
          .num_classes = classes};
}

}  // namespace unireplk::models
