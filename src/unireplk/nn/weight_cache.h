#pragma once

#include <ATen/core/Tensor.h>

#include <mutex>
#include <optional>
#include <vector>

namespace unireplk::nn {

/// Tensors as they were at some time. One is the same for as long as it lies in the same storage at the same version.
/// The storages are held on to, so an address cannot be used again by other weights behind its back.
class SeenTensors {
 public:
  SeenTensors() = default;
  explicit SeenTensors(const std::vector<at::Tensor>& tensors);

  bool are(const std::vector<at::Tensor>& tensors) const;

 private:
  struct Seen {
    at::Tensor alias;
    uint32_t version;
  };
  std::vector<Seen> seen_;
};

/// What inference computes with, made of weights and kept for as long as these stay the same. Thread-safe.
template <class Kept>
class WeightCache {
 public:
  /// What is kept if it came from `sources` as these are now, else what `compute` returns.
  template <class Compute>
  Kept get(const std::vector<at::Tensor>& sources, Compute compute) {
    const std::lock_guard lock(mutex_);
    if (!kept_ || !seen_.are(sources)) {
      drop();
      auto fresh = compute();
      seen_ = SeenTensors(sources);
      kept_ = std::move(fresh);
    }
    return *kept_;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    drop();
  }

 private:
  void drop() {
    kept_.reset();
    seen_ = {};
  }

  std::mutex mutex_;
  SeenTensors seen_;
  std::optional<Kept> kept_;
};

}  // namespace unireplk::nn
