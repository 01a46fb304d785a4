#include "unireplk/ops/parallel.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

namespace unireplk::ops {
namespace {

void run_tasks(int64_t count, const kernels::Parallel::Task& task) {
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    const int64_t worker = at::get_thread_num();
    for (int64_t i = begin; i < end; ++i) task(i, worker);
  });
}

}  // namespace

kernels::Parallel intra_op_threads() {
  return {.workers = at::in_parallel_region() ? 1 : at::get_num_threads(), .run = run_tasks};
}

Workspace::Workspace(int64_t floats) : memory_(at::empty({floats}, at::kFloat)) {}  // LibTorch aligns to 64 bytes

std::span<float> Workspace::span() const { return {memory_.data_ptr<float>(), static_cast<size_t>(memory_.numel())}; }

}  // namespace unireplk::ops
