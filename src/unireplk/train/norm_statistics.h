#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace torch::nn {
class Module;
}

namespace unireplk::train {

/// Gives the batch norms of a network running statistics that are the plain mean over the batches of a pass in training
/// mode, as torch.optim.swa_utils.update_bn does. Frozen norms and counts of batches stay as they are.
class NormStatistics {
 public:
  /// \param network  must outlive the object.
  explicit NormStatistics(const torch::nn::Module& network);

  bool empty() const { return running_.empty(); }  ///< there is nothing to compute

  /// Around each forward pass.
  void begin_batch();
  void end_batch();

  /// Write the means over the batches into the network.
  void finish();

 private:
  std::vector<at::Tensor> running_, sums_;  ///< means and variances of all norms
  std::vector<at::Tensor> counts_, kept_counts_;
  int64_t batches_ = 0;
};

}  // namespace unireplk::train
