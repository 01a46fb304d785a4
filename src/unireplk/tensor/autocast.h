#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk {

/// In which arithmetic PyTorch's autocast runs the operations of one kind of device.
struct AutocastSettings {
  at::DeviceType device = at::kCPU;
  bool enabled = false;
  at::ScalarType dtype = at::kBFloat16;
  bool keeps_casts = true;  ///< whether casts of weights serve all of their uses

  /// Those of this thread as they are now.
  static AutocastSettings current(at::DeviceType device);
};

/// The settings hold for this thread while this lives. When the outermost goes, kept casts of weights go.
class AutocastGuard {
 public:
  explicit AutocastGuard(const AutocastSettings& wanted);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  AutocastSettings before_;
};

/// The type that autocast makes of a map before a convolution; its own type without autocast.
at::ScalarType autocast_type(const at::Tensor& map);

}  // namespace unireplk
