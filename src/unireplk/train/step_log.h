#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "unireplk/train/observer.h"

namespace unireplk::train {

/// Values of steps that still lie on the device, so that no step waits for them.
class StepLog {
 public:
  struct Pending {
    StepRecord record;  ///< without the values below
    at::Tensor loss;    ///< scalars on the device
    at::Tensor grad_norm;
    at::Tensor loss_scale = {};  ///< undefined: there is none
    std::vector<std::pair<std::string, at::Tensor>> parts;

    void add_loss(const at::Tensor& share) { add(loss, share); }
    void add_part(const std::string& name, const at::Tensor& share);

   private:
    static void add(at::Tensor& sum, const at::Tensor& share) { sum = sum.defined() ? sum.add(share) : share; }
  };

  void add(Pending pending) { pending_.push_back(std::move(pending)); }
  int64_t size() const { return static_cast<int64_t>(pending_.size()); }

  /// Read everything in one transfer, in order, and forget it.
  std::vector<StepRecord> take();

 private:
  std::vector<Pending> pending_;
};

}  // namespace unireplk::train
