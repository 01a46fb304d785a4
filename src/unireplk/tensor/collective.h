#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk {

/// This process among those that train together.
struct Rank {
  int64_t index = 0;
  int64_t count = 1;
};

/// What processes that train together do together. All of them call the same functions in the same order, with tensors
/// of one shape and type; a call returns when all have called. Either result is the same to the bit on every rank and
/// in every run.
class Collective {
 public:
  virtual ~Collective() = default;

  virtual Rank rank() const = 0;

  /// The tensors of all ranks, in their order: [ranks, ...].
  virtual at::Tensor all_gather(const at::Tensor& mine) = 0;

  /// The sum of the tensors of all ranks.
  virtual at::Tensor all_reduce(const at::Tensor& mine) = 0;
};

}  // namespace unireplk
