#include "unireplk/ops/block_tensors.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "unireplk/ops/batch_moments.h"
#include "unireplk/ops/map.h"

namespace unireplk::ops {

std::vector<at::Tensor> block_tensors(const DilatedReparam& block) {
  std::vector<at::Tensor> tensors;
  for (const auto& [weight, dilation, norm] : block.branches) {
    tensors.insert(tensors.end(), {weight.contiguous(), norm.weight, norm.bias});
  }
  tensors.insert(tensors.end(), {block.outer.weight, block.outer.bias});
  return tensors;
}

kernels::BlockShape block_shape(const DilatedReparam& block, const at::Tensor& x) {
  kernels::BlockShape shape{.map = map_shape(x), .branches = {}, .eps = block.eps};
  for (const auto& branch : block.branches) shape.branches.push_back({branch.weight.size(2), branch.dilation});
  return shape;
}

kernels::BlockWeights block_weights(at::TensorList tensors) {
  kernels::BlockWeights weights;
  const size_t branches = tensors.size() / kTensorsOfBranch;
  for (size_t b = 0; b < branches; ++b) {
    const auto* of_branch = &tensors[b * kTensorsOfBranch];
    weights.branches.push_back({of_branch[0].const_data_ptr<float>(), of_branch[1].const_data_ptr<float>(),
                                of_branch[2].const_data_ptr<float>()});
  }
  weights.gamma = tensors[branches * kTensorsOfBranch].const_data_ptr<float>();
  weights.beta = tensors[branches * kTensorsOfBranch + 1].const_data_ptr<float>();
  return weights;
}

kernels::RunningStatistics running_statistics(const DilatedReparam& block) {
  const auto of = [](const NormTensors& norm) { return running_norm("dilated_reparam", norm); };
  kernels::RunningStatistics running{.branches = {}, .outer = of(block.outer), .momentum = block.momentum};
  for (const auto& branch : block.branches) running.branches.push_back(of(branch.norm));
  return running;
}

TensorsOfGradients block_gradients(at::TensorList tensors) {
  TensorsOfGradients gradients{};
  auto& [memory, written] = gradients;
  const int64_t branches = static_cast<int64_t>(tensors.size()) / kTensorsOfBranch;
  const auto& outer_gamma = tensors[tensors.size() - 2];
  const auto zeros = at::zeros({branches, outer_gamma.size(0)}, outer_gamma.options());  // of all betas at once
  for (size_t i = 0; i + kTensorsOfBranch <= tensors.size(); i += kTensorsOfBranch) {
    const auto weight = at::empty_like(tensors[i]), gamma = at::empty_like(tensors[i + 1]);
    memory.insert(memory.end(), {weight, gamma, zeros[static_cast<int64_t>(written.branches.size())]});
    written.branches.push_back({weight.data_ptr<float>(), gamma.data_ptr<float>()});
  }
  for (const auto& outer : tensors.slice(tensors.size() - 2)) memory.push_back(at::empty_like(outer));
  written.gamma = memory[memory.size() - 2].data_ptr<float>();
  written.beta = memory.back().data_ptr<float>();
  return gradients;
}

}  // namespace unireplk::ops
