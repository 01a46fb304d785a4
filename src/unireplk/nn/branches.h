#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace unireplk::nn {

/// One small depthwise kernel beside a large one.
struct Branch {
  int64_t kernel = 3;
  int64_t dilation = 1;

  int64_t extent() const { return dilation * (kernel - 1) + 1; }  ///< side of the equivalent dense kernel
  std::string name() const;                                       ///< "k{kernel}_{dilation}", as in state dicts
  bool operator==(const Branch&) const = default;
};

/// Branches beside a K x K kernel: the published table up to 17, beyond it the rule of the specification
/// (model, sections 3 and 3.1). \throws UserError unless K is odd and at least 5.
std::vector<Branch> default_branches(int64_t kernel_size);

/// Check that branches fit beside a K x K kernel: odd kernels, dilation at least 1, extent at most K, no pair
/// twice. \throws UserError naming the first branch that does not.
void check_branches(int64_t kernel_size, const std::vector<Branch>& branches);

}  // namespace unireplk::nn
