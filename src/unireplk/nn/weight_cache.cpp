#include "unireplk/nn/weight_cache.h"

namespace unireplk::nn {

SeenTensors::SeenTensors(const std::vector<at::Tensor>& tensors) {
  for (const auto& tensor : tensors) seen_.push_back({tensor.detach(), static_cast<uint32_t>(tensor._version())});
}

bool SeenTensors::are(const std::vector<at::Tensor>& tensors) const {
  if (tensors.size() != seen_.size()) return false;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [alias, version] = seen_[i];
    if (!tensors[i].is_alias_of(alias) || tensors[i]._version() != version) return false;
    if (tensors[i].scalar_type() != alias.scalar_type()) return false;
  }
  return true;
}

}  // namespace unireplk::nn
