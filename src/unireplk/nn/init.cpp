#include "unireplk/nn/init.h"

#include "unireplk/nn/block.h"
#include "unireplk/nn/layers.h"

namespace unireplk::nn {
namespace {

constexpr double kWeightStd = 0.02;

void set_zero(const at::Tensor& tensor) {
  if (tensor.defined()) tensor.zero_();
}

void initialise_one(torch::nn::Module& module, at::Generator& generator) {
  if (auto* conv = module.as<Conv2d>()) {
    conv->weight.normal_(0, kWeightStd, generator);
    set_zero(conv->bias);
  } else if (auto* linear = module.as<Linear>()) {
    linear->weight.normal_(0, kWeightStd, generator);
    set_zero(linear->bias);
  } else if (auto* layer_norm = module.as<ChannelNorm>()) {
    layer_norm->weight.fill_(1);
    layer_norm->bias.zero_();
  } else if (auto* batch_norm = module.as<BatchNorm>()) {
    batch_norm->weight.fill_(1);
    batch_norm->bias.zero_();
    batch_norm->running_mean.zero_();
    batch_norm->running_var.fill_(1);
    batch_norm->num_batches_tracked.zero_();
  } else if (auto* grn = module.as<Grn>()) {
    grn->gamma.zero_();
    set_zero(grn->beta);
  } else if (auto* block = module.as<Block>()) {
    if (block->gamma.defined()) block->gamma.fill_(block->options().layer_scale_init);
  }
}

}  // namespace

void initialise(torch::nn::Module& module, at::Generator generator) {
  const at::NoGradGuard no_graph;
  for (const auto& part : module.modules()) initialise_one(*part, generator);
}

}  // namespace unireplk::nn
