#include "unireplk/kernels/cuda/rows.cuh"

#include <algorithm>

#include "unireplk/kernels/cuda/sums.cuh"

namespace unireplk::kernels::cuda {
namespace {

__global__ void __launch_bounds__(kSumThreads) add_partial_kernel(SumPlan plan, const float* __restrict__ partial,
                                                                  int sums, int which, float* total, float* next) {
  const int thread = static_cast<int>(threadIdx.x);
  const SumWalk walk = plan.walk(blockIdx.x, thread);
  const int64_t step = int64_t{sums} * plan.channels;
  const float* from = partial + walk.group * plan.rows * step +
                      int64_t{which + static_cast<int>(blockIdx.y)} * plan.channels + walk.channel;
  double sum[1];
  sum_rows_of(
      plan, walk, [&](int64_t row, double(&all)[1]) { all[0] += from[row * step]; }, sum);
  if (!plan.has_sum(walk, thread)) return;
  (blockIdx.y == 0 ? total : next)[walk.group * plan.channels + walk.channel] = static_cast<float>(sum[0]);
}

void add_partial(const SumPlan& plan, const float* partial, int sums, int which, float* total, float* next,
                 Stream stream) {
  const dim3 grid(static_cast<unsigned>(plan.blocks()), next ? 2 : 1);
  add_partial_kernel<<<grid, plan.threads(), 0, stream>>>(plan, partial, sums, which, total, next);
}

}  // namespace

void add_chunks_of_images(const RowPlan& plan, const float* partial, int sums, int which, float* table, float* next,
                          Stream stream) {
  add_partial(SumPlan(plan.images, plan.chunks, plan.channels), partial, sums, which, table, next, stream);
}

void add_blocks(const RowPlan& plan, const float* partial, int sums, int which, float* total, float* next,
                Stream stream) {
  add_partial(SumPlan(1, plan.blocks(), plan.channels), partial, sums, which, total, next, stream);
}

int64_t partial_sums(const RowsShape& shape, int sums) {
  if (is_empty(shape)) return 1;
  int64_t blocks = RowPlan(shape, 1).blocks();
  if (shape.channels % kRowVector == 0) blocks = std::max(blocks, RowPlan(shape, kRowVector).blocks());
  return blocks * sums * shape.channels;
}

}  // namespace unireplk::kernels::cuda
