#pragma once

#include "unireplk/train/network_state.h"

namespace unireplk::train {

/// An average of a network's state: every floating entry, buffers too; integers are copied.
class Averages : public Stateful {
 public:
  /// Starts as a copy of the network, which must outlive it.
  explicit Averages(torch::nn::Module& network);

  /// While alive the network holds the averages, and this object the network's own values. Neither mix_in() nor
  /// save() may be called meanwhile. What happens to the network's values happens to the averages.
  class Swap {
   public:
    explicit Swap(Averages& averages) : averages_(averages) { averages_.exchange(); }
    ~Swap() { averages_.exchange(); }
    Swap(const Swap&) = delete;
    Swap& operator=(const Swap&) = delete;

   private:
    Averages& averages_;
  };

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 protected:
  /// Move the averages towards the network's values. \param exact  the share of the way, double scalar; 0 leaves the
  ///                                                               floating ones alone, to the bit.
  void mix_in(const at::Tensor& exact);

 private:
  /// Averages and the network's values, parallel.
  struct Entries {
    std::vector<at::Tensor> averages, values;
  };

  Entries& entries_for(const at::Tensor& average, const at::Tensor& value);
  void move_floating(const at::Tensor& exact);
  void take_over();  ///< the network's floating values, as a share of 1 has it
  void exchange();

  bool exchanged_ = false;
  NamedTensors averages_;
  NamedTensors values_;  ///< the network's own tensors, parallel to averages_
  Entries together_;     ///< for move_together()
  Entries floating_;     ///< moved one by one
  Entries integers_;
};

}  // namespace unireplk::train
