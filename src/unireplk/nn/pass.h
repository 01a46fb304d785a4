#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string_view>

namespace unireplk::nn {

/// Told the output of each part of a block by its state-dict name: "dwconv", "norm", "se" (NCHW), "pwconv1",
/// "act.0", "act" (NHWC), "pwconv2" (NCHW, before layer scale).
using PartObserver = std::function<void(std::string_view part, const at::Tensor& value)>;

/// How one forward pass differs from the usual one.
struct Pass {
  bool update_statistics = true;           ///< false: batch norms in training leave their running statistics alone
  const PartObserver* observer = nullptr;  ///< outlives the pass

  void report(std::string_view part, const at::Tensor& value) const {
    if (observer) (*observer)(part, value);
  }
};

}  // namespace unireplk::nn
