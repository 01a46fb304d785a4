#include "unireplk/train/network_state.h"

#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include "unireplk/core/error.h"
#include "unireplk/models/state_dict.h"

namespace unireplk::train {

void save_entries(const NamedTensors& entries, StateWriter& writer) {
  for (const auto& [name, value] : entries) writer.tensor(name, value);
}

void load_entries(const NamedTensors& entries, const StateReader& reader) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, target] : entries) {
    const at::Tensor value = reader.tensor(name);
    if (value.sizes() != target.sizes()) {
      throw UserError(
          {name, "the checkpoint has another shape than the network", "Resume with the model it was made with."});
    }
    at::Tensor(target).copy_(value);
  }
}

void NetworkState::save(StateWriter& writer) const { save_entries(models::state_dict(network_), writer); }

void NetworkState::load(const StateReader& reader) { load_entries(models::state_dict(network_), reader); }

}  // namespace unireplk::train
