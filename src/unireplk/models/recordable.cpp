#include "unireplk/models/recordable.h"

#include "unireplk/models/unireplknet.h"

namespace unireplk::models {

std::string unrecordable_part(const torch::nn::Module& network) {
  for (const auto& module : network.modules()) {
    const auto* norm = module->as<nn::BatchNormImpl>();
    if (norm && norm->collective) return "batch norms wait for other processes";
    const auto* backbone = module->as<UniRepLKNetImpl>();
    if (backbone && backbone->options().checkpointing) {
      return "model.backbone.checkpointing runs parts of the network again within the backward pass";
    }
  }
  return "";
}

}  // namespace unireplk::models
