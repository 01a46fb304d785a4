#include "unireplk/tensor/memory.h"

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace unireplk {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;  ///< of x86-64, and of AArch64 with small ones of 4 KiB

/// Where the memory ends that malloc takes all of its own from.
uintptr_t end_of_heap() { return reinterpret_cast<uintptr_t>(sbrk(0)); }

/// LibTorch's own memory. Where the heap has grown for it, that part is advised before a page of it is touched.
class HugePageAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    auto memory = own_->allocate(bytes);
    advise_growth();
    return memory;
  }

  c10::DeleterFnPtr raw_deleter() const override { return own_->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  void advise_growth() {
    const uintptr_t end = end_of_heap();
    uintptr_t begin = advised_end_.load(std::memory_order_relaxed);
    if (end <= begin || !advised_end_.compare_exchange_strong(begin, end)) return;  // another thread does it
    const uintptr_t first = begin / kHugePage * kHugePage;
    madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
  }

  c10::Allocator* own_ = c10::GetDefaultCPUAllocator();
  std::atomic<uintptr_t> advised_end_ = (end_of_heap() + kHugePage - 1) / kHugePage * kHugePage;
};

}  // namespace

void use_huge_pages() { c10::SetCPUAllocator(new HugePageAllocator); }  // which it owns from now on

}  // namespace unireplk
