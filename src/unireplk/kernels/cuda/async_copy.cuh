#pragma once

#include <cstdint>

/// Copies from global to shared memory that go on while a thread does something else.
namespace unireplk::kernels::cuda {

/// 16 bytes; both addresses are multiples of 16.
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" : : "r"(address), "l"(global) : "memory");
}

/// All copies of this thread since the last call are one group.
__device__ __forceinline__ void end_copy_group() { asm volatile("cp.async.commit_group;" : : : "memory"); }

/// Wait until no more than the last kPending groups of this thread are on their way.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(kPending) : "memory");
}

}  // namespace unireplk::kernels::cuda
