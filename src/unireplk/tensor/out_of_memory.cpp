#include "unireplk/tensor/out_of_memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <new>
#include <string_view>

namespace unireplk {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  if (!of_torch) return false;
  // These have no type of their own.
  constexpr std::array kWords = std::to_array<std::string_view>(
      {"DefaultCPUAllocator: can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
       "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED", "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"});
  const std::string_view message = of_torch->what_without_backtrace();
  return std::ranges::any_of(kWords, [&](std::string_view words) { return message.find(words) != message.npos; });
}

std::string short_message(const std::exception& error) {
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  const std::string message = of_torch ? of_torch->what_without_backtrace() : error.what();
  const std::string line = message.substr(0, message.find('\n'));
  return line.substr(0, line.find_last_not_of(". ") + 1);
}

void release_cached_memory(c10::Device device) {
  if (!device.is_cpu()) at::getDeviceAllocator(device.type())->emptyCache();
}

}  // namespace unireplk
