#include "unireplk/kernels/cuda/rows.cuh"

#include <algorithm>

#include "unireplk/kernels/cuda/sums.cuh"

namespace unireplk::kernels::cuda {
namespace {

/// Rows of partial sums that are added up, and where that goes.
struct Addition {
  SumPlan plan;
  const float* partial;
  float* to;
};

Addition addition_of(const RowPlan& rows, const float* partial, SumTarget target) {
  const bool is_wanted = target.values != nullptr;
  const SumPlan of_images(rows.images, rows.chunks, rows.channels), of_all(1, rows.blocks(), rows.channels);
  const SumPlan none(0, 0, rows.channels);
  return {!is_wanted ? none : target.is_of_images ? of_images : of_all, partial, target.values};
}

/// The thread blocks of the first addition, and behind them those of the second. Threads that a plan does not name add
/// to nothing.
__global__ void __launch_bounds__(kSumThreads) add_partial_kernel(Addition first, Addition second, int64_t step) {
  const bool is_first = blockIdx.x < first.plan.blocks();
  const Addition addition = is_first ? first : second;
  const SumPlan& plan = addition.plan;
  const int thread = static_cast<int>(threadIdx.x);
  const SumWalk walk = plan.walk(blockIdx.x - (is_first ? 0 : first.plan.blocks()), thread);
  const float* from = addition.partial + walk.group * plan.rows * step + walk.channel;
  double sum[1];
  sum_rows_of(
      plan, walk, [&](int64_t row, double(&all)[1]) { all[0] += from[row * step]; }, sum);
  if (plan.has_sum(walk, thread)) addition.to[walk.group * plan.channels + walk.channel] = static_cast<float>(sum[0]);
}

}  // namespace

void add_partial(const RowPlan& plan, const float* partial, int sums, SumTarget first, SumTarget second,
                 Stream stream) {
  const Addition one = addition_of(plan, partial, first), other = addition_of(plan, partial + plan.channels, second);
  const auto blocks = static_cast<unsigned>(one.plan.blocks() + other.plan.blocks());
  const int threads = std::max(one.plan.threads(), other.plan.threads());
  add_partial_kernel<<<blocks, threads, 0, stream>>>(one, other, int64_t{sums} * plan.channels);
}

int64_t partial_sums(const RowsShape& shape, int sums) {
  if (is_empty(shape)) return 1;
  int64_t blocks = RowPlan(shape, 1).blocks();
  if (shape.channels % kRowVector == 0) blocks = std::max(blocks, RowPlan(shape, kRowVector).blocks());
  return blocks * sums * shape.channels;
}

}  // namespace unireplk::kernels::cuda
