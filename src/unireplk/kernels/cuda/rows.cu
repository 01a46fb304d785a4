#include "unireplk/kernels/cuda/rows.cuh"

#include <algorithm>

namespace unireplk::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kAddingWarps = 32;

__global__ void add_chunks_of_images_kernel(RowPlan plan, const float* partial, int sums, int which, float* table) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= plan.images * plan.channels) return;
  const int64_t image = i / plan.channels, c = i % plan.channels;
  double sum = 0;
#pragma unroll 4
  for (int64_t block = image * plan.chunks; block < (image + 1) * plan.chunks; ++block) {
    sum += partial[(block * sums + which) * plan.channels + c];
  }
  table[i] = static_cast<float>(sum);
}

/// 32 channels a thread block; each warp adds up every 32nd row.
__global__ void __launch_bounds__(kAddingWarps* kLanes)
    add_blocks_kernel(RowPlan plan, const float* partial, int sums, int which, float* total) {
  __shared__ double of_warps[kAddingWarps][kLanes];
  const int c = static_cast<int>(blockIdx.x) * kLanes + static_cast<int>(threadIdx.x);
  double sum = 0;
  if (c < plan.channels) {
#pragma unroll 8
    for (int64_t block = threadIdx.y; block < plan.blocks(); block += kAddingWarps) {
      sum += partial[(block * sums + which) * plan.channels + c];
    }
  }
  of_warps[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= plan.channels) return;
  sum = 0;
  for (const auto& warp : of_warps) sum += warp[threadIdx.x];
  total[c] = static_cast<float>(sum);
}

}  // namespace

void add_chunks_of_images(const RowPlan& plan, const float* partial, int sums, int which, float* table, Stream stream) {
  add_chunks_of_images_kernel<<<ceil_div(plan.images * plan.channels, kThreads), kThreads, 0, stream>>>(
      plan, partial, sums, which, table);
}

void add_blocks(const RowPlan& plan, const float* partial, int sums, int which, float* total, Stream stream) {
  add_blocks_kernel<<<ceil_div(plan.channels, kLanes), dim3(kLanes, kAddingWarps), 0, stream>>>(plan, partial, sums,
                                                                                                which, total);
}

int64_t partial_sums(const RowsShape& shape, int sums) {
  if (is_empty(shape)) return 1;
  int64_t blocks = RowPlan(shape, 1).blocks();
  if (shape.channels % kRowVector == 0) blocks = std::max(blocks, RowPlan(shape, kRowVector).blocks());
  return blocks * sums * shape.channels;
}

}  // namespace unireplk::kernels::cuda
