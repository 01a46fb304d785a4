#include "unireplk/export/merge.h"

#include "unireplk/models/state_dict.h"

namespace unireplk::exporting {
namespace {

at::TensorOptions options_of(const models::UniRepLKNetImpl& network) {
  return network.blocks().front()->pwconv1->weight.options().requires_grad(std::nullopt);
}

/// Make `copy`, of the same options and with unset weights, the merged form of `network`.
void merge_into(torch::nn::Module& copy, models::UniRepLKNetImpl& backbone, const torch::nn::Module& network) {
  models::load_state_dict(copy, models::state_dict(network), {.place = "merge"});
  backbone.merge();
  copy.eval();
}

}  // namespace

models::UniRepLKNet merged(const models::UniRepLKNetImpl& network) {
  models::UniRepLKNet copy(network.options(), options_of(network));
  merge_into(*copy, *copy, network);
  return copy;
}

models::AnyNetwork merged(const models::AnyNetwork& network) {
  models::AnyNetwork copy(network.options(), options_of(*network.backbone()));
  merge_into(*copy, *copy.backbone().ptr(), *network);
  return copy;
}

}  // namespace unireplk::exporting
