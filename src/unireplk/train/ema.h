#pragma once

#include "unireplk/config/constraints.h"
#include "unireplk/train/averages.h"

namespace unireplk::train {

struct EmaConfig {
  double decay = 0.9999;

  static void fields(auto& self, auto&& visit) {
    visit("decay", self.decay, config::below_one, "Share of the old average that each step keeps.");
  }
};

/// Running average over the steps of a run (spec/image.md section 11). No warm-up, no bias correction.
class Ema : public Averages {
 public:
  /// Starts as a copy of the network, which must outlive it.
  Ema(torch::nn::Module& network, double decay) : Averages(network), decay_(decay) {}

  /// Take in the network's values after an optimizer step.
  /// \param skip  float scalar on the network's device: 1 leaves the floating averages as they are.
  void update(const at::Tensor& skip);

 private:
  double decay_;
};

}  // namespace unireplk::train
