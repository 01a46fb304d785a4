#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "unireplk/train/parameter_groups.h"

namespace unireplk::train {

/// What a schedule sets anew for every step.
struct StepSettings {
  double lr = 0;
  double weight_decay = 0;
};

/// What the update of a group reads. Where its weight decay is no number, the update makes it from the scalars.
struct GroupRate {
  at::Tensor lr;            ///< scalar
  double weight_decay = 0;  ///< 0 as well where the scalars are defined
  at::Tensor minus_decay = {};
  at::Tensor shrinkage = {};  ///< lr x weight decay
};

/// Learning rates and weight decays of the groups of an optimizer, at a place where their device reads them: an update
/// that was recorded takes those of the step in which it is replayed. Scalars are double on a CPU and float elsewhere,
/// which is what LibTorch's fused updates read.
class GroupRates {
 public:
  /// \param decay_on_device  weight decay is read there too; otherwise a recorded update keeps that of its recording.
  GroupRates(const std::vector<ParameterGroup>& groups, bool decay_on_device);

  /// What holds for all that is given to the current stream from now on. The host waits for nothing.
  void set(const StepSettings& settings);

  const GroupRate& operator[](size_t group) const { return rates_[group]; }

  /// What set() was given, for updates that are not recorded.
  const StepSettings& settings() const { return settings_; }

 private:
  struct Factors {
    double lr;
    bool decays;
  };

  std::vector<Factors> factors_;  ///< of the groups
  bool decay_on_device_;
  StepSettings settings_;
  at::Tensor scalars_;  ///< [groups, 3]
  std::vector<GroupRate> rates_;
};

}  // namespace unireplk::train
