#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "unireplk/tensor/state.h"

namespace unireplk::train {

/// As in PyTorch's GradScaler (spec/image.md section 10).
struct LossScaleOptions {
  double initial = 65536;
  double growth = 2;
  double backoff = 0.5;
  int64_t growth_interval = 2000;  ///< good steps in a row after which the scale grows
};

/// Lifts the loss, so that small gradients do not vanish in fp16: large as long as no gradient overflows. Lives on the
/// device, so that no step waits for it.
class LossScale : public Stateful {
 public:
  LossScale(at::Device device, const LossScaleOptions& options);

  at::Tensor scaled(const at::Tensor& loss) const { return loss.mul(scale_); }

  /// Bring gradients of a scaled loss to those of the loss, in place.
  void unscale(const std::vector<at::Tensor>& gradients) const;

  /// After a step. \param skipped  float scalar on the device: 1 when a gradient was not finite.
  void update(const at::Tensor& skipped);

  /// The scale as it is now: a float scalar on the device that later updates leave alone.
  at::Tensor value() const { return scale_.clone(); }

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  LossScaleOptions options_;
  at::Tensor scale_;   ///< float scalar
  at::Tensor growth_;  ///< int scalar: good steps since the scale changed last
};

}  // namespace unireplk::train
