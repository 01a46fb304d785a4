#pragma once

#include <ATen/core/Tensor.h>

#include <mutex>
#include <optional>
#include <vector>

#include "unireplk/ops/packed_linear.h"

namespace unireplk::nn {

/// What a block computes with in inference, in its own dtype.
struct MergedWeights {
  at::Tensor mixer_weight, mixer_bias;  ///< undefined when the block mixes no tokens (kernel size 0)
  ops::PackedLinear input;              ///< pwconv1
  ops::PackedLinear output;             ///< pwconv2, layer scale included
};

/// Merged weights, kept for as long as the tensors they came from stay the same. Thread-safe.
///
/// A source is the same while it lies in the same storage at the same version. The cache holds on to the
/// storages it saw, so an address cannot be used again by other weights behind its back.
class MergeCache {
 public:
  /// The kept weights if they came from `sources` as these are now, else what `compute` returns.
  template <class Compute>
  MergedWeights get(const std::vector<at::Tensor>& sources, Compute compute) {
    const std::lock_guard lock(mutex_);
    if (!kept_ || !is_current(sources)) {
      drop();
      auto fresh = compute();
      remember(sources);
      kept_ = std::move(fresh);
    }
    return *kept_;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    drop();
  }

 private:
  struct Seen {
    at::Tensor alias;
    uint32_t version;
  };

  bool is_current(const std::vector<at::Tensor>& sources) const;
  void remember(const std::vector<at::Tensor>& sources);
  void drop();

  std::mutex mutex_;
  std::vector<Seen> seen_;
  std::optional<MergedWeights> kept_;
};

}  // namespace unireplk::nn
