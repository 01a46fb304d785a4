#pragma once

#include "unireplk/config/constraints.h"
#include "unireplk/train/network_state.h"

namespace unireplk::train {

struct EmaConfig {
  double decay = 0.9999;

  static void fields(auto& self, auto&& visit) {
    visit("decay", self.decay, config::below_one, "Share of the old average that each step keeps.");
  }
};

/// Running average of a network's state: every floating entry, buffers too; integers are copied (spec/image.md section
/// 11). No warm-up, no bias correction.
class Ema : public Stateful {
 public:
  /// Starts as a copy of the network, which must outlive it.
  Ema(torch::nn::Module& network, double decay);

  /// Take in the network's values after an optimizer step.
  /// \param skip  float scalar on the network's device: 1 leaves the floating averages as they are.
  void update(const at::Tensor& skip);

  /// While alive the network holds the averages, and this object the network's own values. Neither update() nor
  /// save() may be called meanwhile.
  class Swap {
   public:
    explicit Swap(Ema& ema) : ema_(ema) { ema_.exchange(); }
    ~Swap() { ema_.exchange(); }
    Swap(const Swap&) = delete;
    Swap& operator=(const Swap&) = delete;

   private:
    Ema& ema_;
  };

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  void exchange();

  double decay_;
  bool exchanged_ = false;
  NamedTensors averages_;
  NamedTensors values_;  ///< the network's own tensors, parallel to averages_
  std::vector<at::Tensor> floating_averages_, floating_values_;
  std::vector<at::Tensor> integer_averages_, integer_values_;
};

}  // namespace unireplk::train
