#include "unireplk/kernels/cuda/row_passes.h"

#include "unireplk/kernels/cuda/rows.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kMergingWarps = 32;

template <int kVector, class A>
__global__ void __launch_bounds__(kRowThreads) sums_kernel(RowPlan plan, const A* __restrict__ a, float* partial) {
  const RowWalk walk = plan.walk(blockIdx.x, static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x));
  float sums[1][kVector] = {};
#pragma unroll 4
  for (int64_t pixel = walk.first; pixel < walk.last; pixel += plan.rows) {
    float values[kVector];
    load(a + plan.offset(walk, pixel), values);
#pragma unroll
    for (int i = 0; i < kVector; ++i) sums[0][i] += values[i];
  }
  write_sums(plan, sums, partial);
}

template <int kVector, class A, class B>
__global__ void __launch_bounds__(kRowThreads)
    products_kernel(RowPlan plan, const A* __restrict__ a, const B* __restrict__ b, const float* __restrict__ centre,
                    float* partial) {
  const RowWalk walk = plan.walk(blockIdx.x, static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x));
  float centres[kVector], sums[2][kVector] = {};
  load_or(centre, walk.channel, 0.F, centres);
#pragma unroll 2
  for (int64_t pixel = walk.first; pixel < walk.last; pixel += plan.rows) {
    float x[kVector], y[kVector];
    load(a + plan.offset(walk, pixel), x);
    load(b + plan.offset(walk, pixel), y);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      sums[0][i] += x[i];
      sums[1][i] = fmaf(x[i], y[i] - centres[i], sums[1][i]);
    }
  }
  write_sums(plan, sums, partial);
}

/// partial[thread block][2][channels]: means, and sums of squares centred on them.
template <int kVector, class A>
__global__ void __launch_bounds__(kRowThreads) moments_kernel(RowPlan plan, const A* __restrict__ a, float* partial) {
  __shared__ float means[kVector][kRowThreads + 1], all_squares[kVector][kRowThreads + 1];
  const RowWalk walk = plan.walk(blockIdx.x, static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x));
  float origin[kVector] = {}, sums[kVector] = {}, squares[kVector] = {};
  if (walk.first < walk.last) load(a + plan.offset(walk, walk.first), origin);
#pragma unroll 2
  for (int64_t pixel = walk.first; pixel < walk.last; pixel += plan.rows) {
    float values[kVector];
    load(a + plan.offset(walk, pixel), values);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const float value = values[i] - origin[i];
      sums[i] += value;
      squares[i] = fmaf(value, value, squares[i]);
    }
  }
  const int64_t pixels = plan.pixels_of_row(blockIdx.x, static_cast<int>(threadIdx.x) / plan.columns);
  const float count = pixels > 0 ? static_cast<float>(pixels) : 1.F;
#pragma unroll
  for (int i = 0; i < kVector; ++i) {
    const float mean = sums[i] / count, centred = squares[i] - sums[i] * mean;
    means[i][threadIdx.x] = origin[i] + mean;
    all_squares[i][threadIdx.x] = centred < 0.F ? 0.F : centred;  // not-a-number stays
  }
  __syncthreads();
  float* out = partial + int64_t{blockIdx.x} * 2 * plan.channels;
  for (int at = static_cast<int>(threadIdx.x); at < plan.columns * kVector; at += kRowThreads) {
    const int c = static_cast<int>(blockIdx.y) * plan.columns * kVector + at;
    if (c >= plan.channels) break;
    const float* mean_of = means[at % kVector] + at / kVector;
    const float* squares_of = all_squares[at % kVector] + at / kVector;
    float merged = 0.F, mean = mean_of[0], sum = squares_of[0];
    merged = static_cast<float>(plan.pixels_of_row(blockIdx.x, 0));
    for (int row = 1; row < plan.rows; ++row) {  // Source: Chan, Golub and LeVeque
      const auto more = static_cast<float>(plan.pixels_of_row(blockIdx.x, row));
      if (more == 0.F) break;
      const float share = more / (merged + more), delta = mean_of[row * plan.columns] - mean;
      sum += squares_of[row * plan.columns] + delta * delta * (merged * share);
      mean += delta * share;
      merged += more;
    }
    out[c] = mean;
    out[plan.channels + c] = sum;
  }
}

__device__ double add_warps(double mine, double (&of_warps)[kMergingWarps][kLanes]) {
  __syncthreads();
  of_warps[threadIdx.y][threadIdx.x] = mine;
  __syncthreads();
  double sum = 0;
  for (const auto& warp : of_warps) sum += warp[threadIdx.x];
  return sum;
}

/// 32 channels a thread block; each warp takes every 32nd of the partial moments.
__global__ void __launch_bounds__(kMergingWarps* kLanes)
    merge_kernel(RowPlan plan, const float* partial, float* mean, float* variance) {
  __shared__ double of_warps[kMergingWarps][kLanes];
  const int c = static_cast<int>(blockIdx.x) * kLanes + static_cast<int>(threadIdx.x);
  const bool is_channel = c < plan.channels;
  const double pixels = static_cast<double>(plan.images) * static_cast<double>(plan.pixels);
  const auto count = [&](int64_t block) {
    return static_cast<double>(plan.last_pixel(block) - plan.first_pixel(block));
  };
  double sum = 0;
  if (is_channel) {
#pragma unroll 4
    for (int64_t block = threadIdx.y; block < plan.blocks(); block += kMergingWarps) {
      sum += count(block) * partial[block * 2 * plan.channels + c];
    }
  }
  const double of_all = add_warps(sum, of_warps) / pixels;
  sum = 0;
  if (is_channel) {
#pragma unroll 4
    for (int64_t block = threadIdx.y; block < plan.blocks(); block += kMergingWarps) {
      const float* moments = partial + block * 2 * plan.channels + c;
      const double delta = moments[0] - of_all;
      sum += moments[plan.channels] + count(block) * delta * delta;
    }
  }
  const double squares = add_warps(sum, of_warps);
  if (threadIdx.y != 0 || !is_channel) return;
  mean[c] = static_cast<float>(of_all);
  variance[c] = static_cast<float>(squares / pixels);
}

template <int kVector, class A, class B, class To>
__global__ void __launch_bounds__(kRowThreads, 4)
    combine_kernel(RowPlan plan, const A* __restrict__ a, const float* __restrict__ factor, const B* __restrict__ b,
                   const float* __restrict__ centre, const float* __restrict__ slope, const float* __restrict__ shift,
                   To* __restrict__ to) {
  const RowWalk walk = plan.walk(blockIdx.x, static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x));
  const int64_t in_table = walk.image * plan.channels + walk.channel;
  float factors[kVector], centres[kVector], slopes[kVector], shifts[kVector];
  load_or(factor, in_table, 1.F, factors);
  load_or(centre, walk.channel, 0.F, centres);
  load_or(slope, in_table, 0.F, slopes);
  load_or(shift, in_table, 0.F, shifts);
#pragma unroll 2
  for (int64_t pixel = walk.first; pixel < walk.last; pixel += plan.rows) {
    float x[kVector];
    load(a + plan.offset(walk, pixel), x);
    if (b) {
      float y[kVector];
      load(b + plan.offset(walk, pixel), y);
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        x[i] = fmaf(x[i], factors[i], fmaf(y[i] - centres[i], slopes[i], shifts[i]));
      }
    } else {
#pragma unroll
      for (int i = 0; i < kVector; ++i) x[i] = fmaf(x[i], factors[i], shifts[i]);
    }
    store(x, to + plan.offset(walk, pixel));
  }
}

template <int kVector, class A, class B, class To>
void launch_combine(const RowPlan& plan, const RowTerms& terms, void* to, Stream stream) {
  combine_kernel<kVector><<<grid_of(plan), kRowThreads, 0, stream>>>(
      plan, static_cast<const A*>(terms.a.values), terms.factor, static_cast<const B*>(terms.b.values), terms.centre,
      terms.slope, terms.shift, static_cast<To*>(to));
}

}  // namespace

int64_t row_passes_workspace(const RowsShape& shape) { return partial_sums(shape, 2); }

void sum_rows(const RowsShape& shape, const MapValues& a, const MapValues& b, const float* centre, float* sums,
              float* products, float* workspace, Stream stream) {
  if (is_empty(shape)) {
    set_zero(sums, shape.images * shape.channels, stream);
    return set_zero(b.values ? products : nullptr, shape.images * shape.channels, stream);
  }
  const auto run = [&]<int kVector>() {
    const RowPlan plan(shape, kVector);
    if (!b.values) {
      with_type(a.element, [&]<class T>(T) {
        sums_kernel<kVector>
            <<<grid_of(plan), kRowThreads, 0, stream>>>(plan, static_cast<const T*>(a.values), workspace);
      });
      return add_chunks_of_images(plan, workspace, 1, 0, sums, stream);
    }
    with_type(b.element, [&]<class T>(T) {
      const auto launch = [&]<class A>(A) {
        products_kernel<kVector><<<grid_of(plan), kRowThreads, 0, stream>>>(
            plan, static_cast<const A*>(a.values), static_cast<const T*>(b.values), centre, workspace);
      };
      a.element == b.element ? launch(T{}) : launch(float{});
    });
    add_chunks_of_images(plan, workspace, 2, 0, sums, stream);
    add_chunks_of_images(plan, workspace, 2, 1, products, stream);
  };
  with_vector(shape, run, a.values, b.values, b.values ? centre : nullptr);
}

void row_moments(const RowsShape& shape, const MapValues& a, float* mean, float* variance, float* workspace,
                 Stream stream) {
  if (shape.channels == 0) return;
  const auto run = [&]<int kVector>() {
    const RowPlan plan(shape, kVector);
    with_type(a.element, [&]<class T>(T) {
      moments_kernel<kVector>
          <<<grid_of(plan), kRowThreads, 0, stream>>>(plan, static_cast<const T*>(a.values), workspace);
    });
    merge_kernel<<<ceil_div(shape.channels, kLanes), dim3(kLanes, kMergingWarps), 0, stream>>>(plan, workspace, mean,
                                                                                               variance);
  };
  with_vector(shape, run, a.values);
}

void combine_rows(const RowsShape& shape, const RowTerms& terms, Element element, void* to, Stream stream) {
  if (is_empty(shape)) return;
  const auto run = [&]<int kVector>() {
    const RowPlan plan(shape, kVector);
    const auto& b = terms.b;
    with_type(b.values ? b.element : element, [&]<class T>(T) {
      const bool is_a_wide = terms.a.element == Element::kFloat, is_result_wide = element == Element::kFloat;
      if (!is_a_wide) {
        launch_combine<kVector, T, T, T>(plan, terms, to, stream);
      } else if (is_result_wide) {
        launch_combine<kVector, float, T, float>(plan, terms, to, stream);
      } else {
        launch_combine<kVector, float, T, T>(plan, terms, to, stream);
      }
    });
  };
  with_vector(shape, run, terms.a.values, terms.factor, terms.b.values, terms.centre, terms.slope, terms.shift, to);
}

}  // namespace unireplk::kernels::cuda
