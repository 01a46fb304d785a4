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
  /// Move the averages towards the network's values. \param share  of the way: double scalar.
  void mix_in(const at::Tensor& share);

 private:
  void exchange();

  bool exchanged_ = false;
  NamedTensors averages_;
  NamedTensors values_;  ///< the network's own tensors, parallel to averages_
  std::vector<at::Tensor> floating_averages_, floating_values_;
  std::vector<at::Tensor> integer_averages_, integer_values_;
};

}  // namespace unireplk::train
