#include "unireplk/nn/dilated_reparam_block.h"

#include <algorithm>
#include <utility>

#include "unireplk/core/error.h"

namespace unireplk::nn {

DilatedReparamBlockImpl::DilatedReparamBlockImpl(int64_t channels, int64_t kernel_size, std::vector<Branch> list,
                                                 bool deploy, at::TensorOptions tensor) {
  lk_origin = register_module("lk_origin", Conv2d(depthwise(channels, kernel_size, 1, deploy, tensor)));
  if (deploy) return;
  check_branches(kernel_size, list);
  branches = std::move(list);
  origin_bn = register_module("origin_bn", BatchNorm(channels, tensor));
  for (const auto& branch : branches) {
    const auto conv = depthwise(channels, branch.kernel, branch.dilation, false, tensor);
    dil_convs.push_back(register_module("dil_conv_" + branch.name(), Conv2d(conv)));
    dil_bns.push_back(register_module("dil_bn_" + branch.name(), BatchNorm(channels, tensor)));
  }
}

at::Tensor DilatedReparamBlockImpl::forward(const at::Tensor& x, const Pass& pass) {
  if (is_merged()) return lk_origin->forward(x);
  auto sum = origin_bn->forward(lk_origin->forward(x), pass);
  for (size_t i = 0; i < branches.size(); ++i) {
    sum = sum + dil_bns[i]->forward(dil_convs[i]->forward(x), pass);
  }
  return sum;
}

at::Tensor DilatedReparamBlockImpl::forward_with_norm(const at::Tensor& x, BatchNormImpl& outer, const Pass& pass) {
  const bool training = outer.is_training();
  if (is_merged() || !norms_agree(outer)) return outer.forward(forward(x, pass), pass);
  const auto block = tensors(outer);
  if (!ops::can_fuse(block, x, training)) return outer.forward(forward(x, pass), pass);
  if (!training) return ops::merged_dilated_reparam(block, x);
  return ops::fused_dilated_reparam(block, x, pass.update_statistics);
}

ops::DilatedReparam DilatedReparamBlockImpl::tensors(const BatchNormImpl& outer) const {
  ops::DilatedReparam block{.branches = {{lk_origin->weight, 1, origin_bn->tensors()}},
                            .outer = outer.tensors(),
                            .eps = BatchNormImpl::kEps,
                            .momentum = BatchNormImpl::kMomentum,
                            .collective = outer.collective,
                            .keep_branches = keep_branches};
  for (size_t i = 0; i < branches.size(); ++i) {
    block.branches.push_back({dil_convs[i]->weight, branches[i].dilation, dil_bns[i]->tensors()});
  }
  return block;
}

bool DilatedReparamBlockImpl::norms_agree(const BatchNormImpl& outer) const {
  const auto agrees = [&](const BatchNorm& bn) {
    return bn->is_training() == outer.is_training() && bn->collective == outer.collective;
  };
  return agrees(origin_bn) && std::all_of(dil_bns.begin(), dil_bns.end(), agrees);
}

Affine DilatedReparamBlockImpl::merged() const {
  UNIREPLK_CHECK(!is_merged(), "DilatedReparamBlock::merged: already in deploy form");
  auto result = fold_norm({lk_origin->weight, {}}, *origin_bn);
  for (size_t i = 0; i < branches.size(); ++i) {
    add_centred(result, fold_norm({dil_convs[i]->weight, {}}, *dil_bns[i]), branches[i].dilation);
  }
  return result;
}

void DilatedReparamBlockImpl::become(const Affine& merged) {
  lk_origin->assign(merged.weight, merged.bias);
  if (is_merged()) return;
  for (const auto& part : named_children().keys()) {
    if (part != "lk_origin") unregister_module(part);
  }
  origin_bn = nullptr;
  branches.clear();
  dil_convs.clear();
  dil_bns.clear();
}

}  // namespace unireplk::nn
