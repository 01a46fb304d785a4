#include "unireplk/tensor/context.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#ifdef USE_CUDA
#include <cuda_runtime_api.h>
#endif

#include <algorithm>
#include <limits>

#include "unireplk/core/cpu_features.h"
#include "unireplk/core/error.h"
#include "unireplk/core/whole_number.h"

namespace unireplk {
namespace {

int64_t num_cuda_devices() { return at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0; }

UserError device_error(const std::string& message, const std::string& cure) {
  return UserError({.place = "device", .message = message, .cure = cure});
}

/// The N of "cuda:N"; -1 when the text is not of that form.
int64_t cuda_index(std::string_view text) {
  constexpr std::string_view kPrefix = "cuda:";
  if (!text.starts_with(kPrefix)) return -1;
  text.remove_prefix(kPrefix.size());
  return std::max<int64_t>(whole_number(text).value_or(-1), -1);
}

at::Device cuda_device(int64_t index) {
  const int64_t count = num_cuda_devices();
  if (count == 0) {
    throw device_error("expected a CUDA device, found none",
                       "Write cpu or auto, or use a build for CUDA on a machine with a driver and a GPU.");
  }
  if (index >= count || index > std::numeric_limits<c10::DeviceIndex>::max()) {
    throw device_error(format("expected cuda:0 to cuda:{}, got cuda:{}", count - 1, index), "");
  }
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

#ifdef USE_CUDA
std::string describe_cuda(int index) {
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) return format("cuda:{}", index);
  return format("cuda:{} ({}, {:.1f} GiB)", index, static_cast<const char*>(properties.name),
                static_cast<double>(properties.totalGlobalMem) / 0x1p30);
}
#endif

}  // namespace

bool names_device(const std::string& text) {
  return text == "auto" || text == "cpu" || text == "cuda" || cuda_index(text) >= 0;
}

at::Device resolve_device(const std::string& text) {
  if (text == "cpu") return at::kCPU;
  if (text == "auto") return num_cuda_devices() > 0 ? cuda_device(0) : at::Device(at::kCPU);
  if (text == "cuda") return cuda_device(0);
  if (!names_device(text)) throw device_error(format("expected auto, cpu, cuda or cuda:N, got \"{}\"", text), "");
  return cuda_device(cuda_index(text));
}

std::string describe_device(at::Device device) {
  if (device.is_cpu()) {
    const int threads = at::get_num_threads();
    return format("cpu ({} thread{}, {})", threads, threads == 1 ? "" : "s", best_instruction_set());
  }
#ifdef USE_CUDA
  if (device.is_cuda()) return describe_cuda(device.has_index() ? device.index() : 0);
#endif
  return device.str();
}

}  // namespace unireplk
