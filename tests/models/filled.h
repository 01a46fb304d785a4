#pragma once

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

}  // namespace unireplk::models
