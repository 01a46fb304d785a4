#pragma once

#include <cstdint>
#include <functional>

namespace unireplk::kernels {

/// How a kernel spreads independent tasks over threads. What a task does never depends on the number of workers, so a
/// result does not either.
struct Parallel {
  using Task = std::function<void(int64_t task, int64_t worker)>;

  int64_t workers = 1;  ///< each owns one part of the workspace
  /// Run tasks 0 .. count - 1, each once, with worker in [0, workers), no worker twice at the same time; return when
  /// all are done.
  std::function<void(int64_t count, const Task& task)> run = [](int64_t count, const Task& task) {
    for (int64_t i = 0; i < count; ++i) task(i, 0);
  };
};

}  // namespace unireplk::kernels
