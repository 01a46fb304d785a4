#include "unireplk/core/recycler.h"

#include <bit>

#include "unireplk/core/error.h"

namespace unireplk {
namespace {

constexpr size_t kAlignment = 64;  // of every block: a cache line
constexpr size_t kLeast = 1024;

size_t rounded_up(size_t bytes) {
  if (bytes <= kLeast) return kLeast;
  const size_t step = std::bit_ceil(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

}  // namespace

Recycler::Recycler(size_t most, std::pmr::memory_resource* upstream) : most_(most), upstream_(upstream) {}

Recycler::~Recycler() {
  for (const auto& [size, blocks] : free_) {
    for (void* block : blocks) upstream_->deallocate(block, size, kAlignment);
  }
}

void* Recycler::do_allocate(size_t bytes, size_t alignment) {
  UNIREPLK_CHECK(alignment <= kAlignment, "recycler: alignment {}, at most {}", alignment, kAlignment);
  const size_t size = rounded_up(bytes);
  {
    const std::lock_guard lock(mutex_);
    const auto found = free_.find(size);
    if (found != free_.end() && !found->second.empty()) {
      void* block = found->second.back();
      found->second.pop_back();
      kept_ -= size;
      return block;
    }
  }
  return upstream_->allocate(size, kAlignment);
}

void Recycler::do_deallocate(void* block, size_t bytes, size_t) {
  const size_t size = rounded_up(bytes);
  {
    const std::lock_guard lock(mutex_);
    if (kept_ + size <= most_) {
      free_[size].push_back(block);
      kept_ += size;
      return;
    }
  }
  upstream_->deallocate(block, size, kAlignment);
}

}  // namespace unireplk
