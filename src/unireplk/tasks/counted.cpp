#include "unireplk/tasks/counted.h"

#include <ATen/ops/tensor.h>

#include <algorithm>

namespace unireplk::tasks {

at::Tensor counted(const std::vector<SampleKey>& keys) {
  std::vector<uint8_t> counts(keys.size());
  std::ranges::transform(keys, counts.begin(), [](const SampleKey& key) { return key.padding ? 0 : 1; });
  return at::tensor(counts, at::kByte).to(at::kBool);
}

}  // namespace unireplk::tasks
