#pragma once

#include <memory>

#include "unireplk/tensor/collective.h"

namespace torch::nn {
class Module;
}

namespace unireplk::nn {

/// From now on every batch norm of the network, when in training, counts the batches of all ranks as one; with null,
/// this process's alone.
///
/// Every rank has to run the same blocks in the same order. Batches may differ in images and in the sizes of maps, as
/// long as each block runs fused on all ranks or on none (ops::can_fuse). Gradients are then to be averaged over ranks.
void synchronise_norms(torch::nn::Module& network, const std::shared_ptr<Collective>& collective);

}  // namespace unireplk::nn
