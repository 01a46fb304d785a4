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

}  // namespace unireplk::models
