#include "unireplk/export/merge.h"

#include "unireplk/models/state_dict.h"

namespace unireplk::exporting {
namespace {

at::TensorOptions options_of(const models::UniRepLKNetImpl& network) {
  return network.blocks().front()->pwconv1->weight.options().requires_grad(std::nullopt);
}

}  // namespace

models::UniRepLKNet merged(const models::UniRepLKNetImpl& network) {
  models::UniRepLKNet copy(network.options(), options_of(network));
  models::load_state_dict(*copy, models::state_dict(network), {.place = "merge"});
  copy->merge();
  copy->eval();
  return copy;
}

models::AnyNetwork merged(const models::AnyNetwork& network) {
  models::AnyNetwork copy(network.options(), options_of(*network.backbone()));
  models::load_state_dict(*copy, models::state_dict(*network), {.place = "merge"});
  copy.backbone().ptr()->merge();
  copy->eval();
  return copy;
}

}  // namespace unireplk::exporting
