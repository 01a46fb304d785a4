#include "unireplk/analysis/machine.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <sys/resource.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>

#include "unireplk/core/clock.h"
#include "unireplk/kernels/instruction_set.h"
#include "unireplk/ops/parallel.h"

namespace unireplk::analysis {
namespace {

/// Environment variables of OpenMP, oneDNN, MKL, LibTorch and our kernels.
nlohmann::json settings() {
  constexpr std::array kPrefixes = {"OMP_", "GOMP_", "KMP_", "ONEDNN_", "DNNL_", "MKL_", "ATEN_", "UNIREPLK_CPU_ISA"};
  auto found = nlohmann::json::object();
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    const auto name = text.substr(0, text.find('='));
    const bool matters = std::ranges::any_of(kPrefixes, [&](const char* prefix) { return name.starts_with(prefix); });
    if (matters && name.size() < text.size()) found[std::string(name)] = std::string(text.substr(name.size() + 1));
  }
  return found;
}

constexpr double kMiB = 1024.0 * 1024.0;

/// What Linux would give without swapping; infinite where it does not tell.
double available_mib() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("MemAvailable:")) return std::stod(line.substr(line.find(':') + 1)) / 1024.0;
  }
  return std::numeric_limits<double>::infinity();
}

/// The limit of this container; infinite where there is none.
double container_mib() {
  std::ifstream file("/sys/fs/cgroup/memory.max");
  double bytes = 0;
  return file >> bytes ? bytes / kMiB : std::numeric_limits<double>::infinity();
}

/// What measure() returns on each thread of LibTorch, all at the same time.
template <class Measure>
auto on_all_threads(const Measure& measure) {
  const auto threads = ops::intra_op_threads();
  std::vector<decltype(measure())> of_threads(static_cast<size_t>(threads.workers));
  std::atomic<int64_t> ready = 0;
  threads.run(threads.workers, [&](int64_t task, int64_t) {
    ++ready;  // no longer than all take to come
    for (const Stopwatch clock; ready < threads.workers && clock.seconds() < 0.1;) {
    }
    of_threads[static_cast<size_t>(task)] = measure();
  });
  return of_threads;
}

double measure_copies() {
  constexpr size_t kFloats = size_t{1} << 23;  // more than a cache holds
  std::vector<float> from(kFloats, 1.0F), to(kFloats);
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const Stopwatch clock;
    std::transform(from.begin(), from.end(), to.begin(), [i](float value) { return value + static_cast<float>(i); });
    best = std::max(best, 2.0 * kFloats * sizeof(float) / clock.seconds() * 1e-9);
  }
  return best;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

nlohmann::json environment(const Context& context) {
  return {{"libtorch", TORCH_VERSION},
          {"onednn", first_line(at::get_mkldnn_version())},
          {"mkl", first_line(at::get_mkl_version())},
          {"compiler", __VERSION__},
          {"cpu", cpu_name()},
          {"isa", kernels::instruction_set()},
          {"libtorch_isa", at::get_cpu_capability()},
          {"threads", at::get_num_threads()},
          {"settings", settings()},
          {"device", describe_device(context.device)}};
}

double peak_memory_mib(at::Device device) {
  if (device.is_cpu()) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024.0;
  }
  const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return static_cast<double>(stats.reserved_bytes[kAll].peak) / kMiB;
}

double free_memory_mib() { return std::min(available_mib(), container_mib()); }

double measure_peak_of_threads() {
  const auto of_threads = on_all_threads(kernels::measure_fma_peak);
  return std::accumulate(of_threads.begin(), of_threads.end(), 0.0);
}

double measure_copies_of_threads() {
  const auto of_threads = on_all_threads(measure_copies);
  return std::accumulate(of_threads.begin(), of_threads.end(), 0.0);
}

kernels::LoopTimes measure_loops_of_threads(const kernels::MapShape& map, const kernels::KernelShape& kernel) {
  const auto of_threads = on_all_threads([&] { return kernels::measure_depthwise_loops(map, kernel); });
  kernels::LoopTimes mean{};
  for (const auto& times : of_threads) {
    mean.convolution += times.convolution / static_cast<double>(of_threads.size());
    mean.gradient += times.gradient / static_cast<double>(of_threads.size());
  }
  return mean;
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place), above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - std::floor(place)) * (values[above] - values[below]);
}

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

}  // namespace unireplk::analysis
