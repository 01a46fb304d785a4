#include "unireplk/export/merge.h"

#include "unireplk/models/state_dict.h"

namespace unireplk::exporting {

models::UniRepLKNet merged(const models::UniRepLKNetImpl& network) {
  const auto weight = network.blocks().front()->pwconv1->weight;
  models::UniRepLKNet copy(network.options(), weight.options().requires_grad(std::nullopt));
  load_state_dict(*copy, state_dict(network), {.place = "merge"});
  copy->merge();
  copy->eval();
  return copy;
}

}  // namespace unireplk::exporting
