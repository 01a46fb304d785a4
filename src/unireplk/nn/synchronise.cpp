#include "unireplk/nn/synchronise.h"

#include "unireplk/nn/layers.h"

namespace unireplk::nn {

void synchronise_norms(torch::nn::Module& network, const std::shared_ptr<Collective>& collective) {
  for (const auto& module : network.modules()) {
    if (auto* norm = module->as<BatchNormImpl>()) norm->collective = collective;
  }
}

}  // namespace unireplk::nn
