#pragma once

#include <cstring>
#include <type_traits>

#include "unireplk/kernels/cuda/values.cuh"

/// Products of small matrices on tensor cores: 16-bit operands, float32 sums. Layouts: PTX ISA, mma.m16n8k16 and
/// ldmatrix.
namespace unireplk::kernels::cuda {

template <class T>
__device__ __forceinline__ uint32_t pack_pair(float low, float high) {
  const T pair[2] = {from_float<T>(low), from_float<T>(high)};
  uint32_t bits;
  memcpy(&bits, pair, sizeof bits);
  return bits;
}

template <class T>
__device__ __forceinline__ uint16_t bits_of(float value) {
  const T narrow = from_float<T>(value);
  uint16_t bits;
  memcpy(&bits, &narrow, sizeof bits);
  return bits;
}

/// Four matrices of 8 x 8 from shared memory; each lane names one row, of 16 bytes.
__device__ __forceinline__ void fetch_matrices(uint32_t (&fragments)[4], const uint16_t* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
               : "r"(address)
               : "memory");
}

/// The same with rows and columns of each matrix exchanged.
__device__ __forceinline__ void fetch_transposed(uint32_t (&fragments)[4], const uint16_t* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
               : "r"(address)
               : "memory");
}

#define UNIREPLK_MMA_K16(type)                                     \
  asm("mma.sync.aligned.m16n8k16.row.col.f32." type "." type       \
      ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]) \
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1))
#define UNIREPLK_MMA_K8(type)                                                                                   \
  asm("mma.sync.aligned.m16n8k8.row.col.f32." type "." type ".f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};" \
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                                              \
      : "r"(a0), "r"(a1), "r"(b0))

/// sums += A B, A [16, 16], B [16, 8].
template <class T>
__device__ __forceinline__ void add_product(float (&sums)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                            uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    UNIREPLK_MMA_K16("bf16");
  } else {
    UNIREPLK_MMA_K16("f16");
  }
}

/// sums += A B, A [16, 8], B [8, 8].
template <class T>
__device__ __forceinline__ void add_product(float (&sums)[4], uint32_t a0, uint32_t a1, uint32_t b0) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    UNIREPLK_MMA_K8("bf16");
  } else {
    UNIREPLK_MMA_K8("f16");
  }
}

#undef UNIREPLK_MMA_K16
#undef UNIREPLK_MMA_K8

}  // namespace unireplk::kernels::cuda
