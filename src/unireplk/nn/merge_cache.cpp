#include "unireplk/nn/merge_cache.h"

namespace unireplk::nn {

bool MergeCache::is_current(const std::vector<at::Tensor>& sources) const {
  if (sources.size() != seen_.size()) return false;
  for (size_t i = 0; i < sources.size(); ++i) {
    const auto& [alias, version] = seen_[i];
    if (!sources[i].is_alias_of(alias) || sources[i]._version() != version) return false;
    if (sources[i].scalar_type() != alias.scalar_type()) return false;
  }
  return true;
}

void MergeCache::remember(const std::vector<at::Tensor>& sources) {
  for (const auto& source : sources) {
    seen_.push_back({source.detach(), static_cast<uint32_t>(source._version())});
  }
}

void MergeCache::drop() {
  kept_.reset();
  seen_.clear();
}

}  // namespace unireplk::nn
