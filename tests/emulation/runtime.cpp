#include <cuda_runtime.h>

#include <cstring>

#include "emulation/emulator.h"

/// What kernels' launchers call of the CUDA runtime; all memory is the host's, and work is done when it is queued.
namespace emulation = unireplk::emulation;

extern "C" {

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  if (attribute != cudaDevAttrMaxSharedMemoryPerBlockOptin) emulation::fail("no such attribute of the device here");
  *value = static_cast<int>(emulation::kSharedBytes);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) emulation::fail("no such attribute of kernels here");
  if (value < 0 || static_cast<size_t>(value) > emulation::kSharedBytes) {
    emulation::fail("a kernel asks for more shared memory than a block may have");
  }
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

}  // extern "C"
