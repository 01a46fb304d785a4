#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <new>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "unireplk/kernels/parallel.h"

namespace unireplk::kernels {

/// Floats at a cache line, NaN to begin with, so that what is read before it is written shows.
class Space {
 public:
  explicit Space(int64_t floats) : memory_(static_cast<size_t>(floats) + 16, std::numeric_limits<float>::quiet_NaN()) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    start_ = memory_.data() + (64 - address % 64) % 64 / sizeof(float);
    size_ = static_cast<size_t>(floats);
  }
  std::span<float> span() { return {start_, size_}; }

 private:
  std::vector<float> memory_;
  float* start_;
  size_t size_;
};

/// Threads of its own for every call; worker i takes tasks i, i + workers, ...
inline Parallel threads(int64_t workers) {
  return {.workers = workers, .run = [workers](int64_t count, const Parallel::Task& task) {
            std::vector<std::thread> running;
            for (int64_t worker = 0; worker < workers; ++worker) {
              running.emplace_back([=, &task] {
                for (int64_t i = worker; i < count; i += workers) task(i, worker);
              });
            }
            for (auto& thread : running) thread.join();
          }};
}

inline std::vector<float> narrow(const std::vector<double>& values) { return {values.begin(), values.end()}; }

enum class Filling { kNormal, kAroundTen, kTiny, kOneHot };

template <class Number>
std::vector<Number> filled(int64_t count, Filling filling, unsigned seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<float> normal;  // float: both number types then hold the same
  std::vector<Number> values(static_cast<size_t>(count));
  for (auto& value : values) {
    const float drawn = normal(bits);
    if (filling == Filling::kNormal) value = drawn;
    if (filling == Filling::kAroundTen) value = drawn + 10;
    if (filling == Filling::kTiny) value = drawn * 1e-20F;
    if (filling == Filling::kOneHot) value = 0;
  }
  if (filling == Filling::kOneHot && count > 0) values[bits() % values.size()] = 1;
  return values;
}

/// Root of the mean square difference in units of the expected root mean square; NaN when anything is.
template <class Number>
double relative_error(const std::vector<float>& got, const std::vector<Number>& expected) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += (got[i] - expected[i]) * (got[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  return size == 0 ? std::sqrt(difference) : std::sqrt(difference / size);
}

}  // namespace unireplk::kernels
