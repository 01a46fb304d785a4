#pragma once

#include <string>
#include <utility>
#include <vector>

#include "unireplk/tensor/state.h"

#include <ATen/core/Tensor.h>

namespace torch::nn {
class Module;
}

namespace unireplk::train {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Write entries under their names.
void save_entries(const NamedTensors& entries, StateWriter& writer);

/// Copy into the entries, in place. \throws UserError naming a missing entry or one of another shape.
void load_entries(const NamedTensors& entries, const StateReader& reader);

/// Parameters and buffers of a network as a part of a run's state.
class NetworkState : public Stateful {
 public:
  explicit NetworkState(torch::nn::Module& network) : network_(network) {}

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  torch::nn::Module& network_;
};

}  // namespace unireplk::train
