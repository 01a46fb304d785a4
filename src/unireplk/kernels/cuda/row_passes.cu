#include "unireplk/kernels/cuda/row_passes.h"

#include "unireplk/kernels/cuda/rows.cuh"
#include "unireplk/kernels/cuda/sums.cuh"

namespace unireplk::kernels::cuda {
namespace {

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

/// Pixels of the chunks of an image.
struct ChunkPixels {
  explicit ChunkPixels(const RowPlan& plan)
      : chunks(static_cast<unsigned>(plan.chunks)),
        most(static_cast<double>(plan.chunk)),
        last(static_cast<double>(plan.last_pixel(plan.chunks - 1) - plan.first_pixel(plan.chunks - 1))) {}

  __device__ double of(int64_t block) const {
    return static_cast<unsigned>(block) % chunks + 1 == chunks ? last : most;
  }

  unsigned chunks;
  double most, last;
};

/// Moments of all of partial[thread block][2][channels]. Means are taken from that of the first block, so that little
/// is left to cancel.
/// \param share  of one pixel in all
__global__ void __launch_bounds__(kSumThreads)
    merge_kernel(SumPlan sums, ChunkPixels pixels, double share, const float* __restrict__ partial,
                 float* __restrict__ mean, float* __restrict__ variance) {
  const int thread = static_cast<int>(threadIdx.x);
  const SumWalk walk = sums.walk(blockIdx.x, thread);
  const float* from = partial + (walk.first < walk.last ? walk.channel : 0);
  const double origin = from[0];
  const auto add = [&](int64_t block, double(&moments)[2]) {
    const float* of_block = from + block * 2 * sums.channels;
    const double count = pixels.of(block), delta = of_block[0] - origin;
    moments[0] += count * delta;
    moments[1] += of_block[sums.channels] + count * delta * delta;
  };
  double moments[2];
  sum_rows_of(sums, walk, add, moments);
  if (!sums.has_sum(walk, thread)) return;
  const double shift = moments[0] * share, of_all = moments[1] * share - shift * shift;
  mean[walk.channel] = static_cast<float>(origin + shift);
  variance[walk.channel] = of_all < 0 ? 0.F : static_cast<float>(of_all);  // not-a-number stays
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
  load_or(slope, in_table, 1.F, slopes);
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
    return set_zero(products, shape.images * shape.channels, stream);
  }
  const auto run = [&]<int kVector>() {
    const RowPlan plan(shape, kVector);
    if (!products) {
      with_type(a.element, [&]<class T>(T) {
        sums_kernel<kVector>
            <<<grid_of(plan), kRowThreads, 0, stream>>>(plan, static_cast<const T*>(a.values), workspace);
      });
      return add_partial(plan, workspace, 1, of_images(sums), {}, stream);
    }
    with_type(b.element, [&]<class T>(T) {
      const auto launch = [&]<class A>(A) {
        products_kernel<kVector><<<grid_of(plan), kRowThreads, 0, stream>>>(
            plan, static_cast<const A*>(a.values), static_cast<const T*>(b.values), centre, workspace);
      };
      a.element == b.element ? launch(T{}) : launch(float{});
    });
    add_partial(plan, workspace, 2, of_images(sums), of_images(products), stream);
  };
  with_vector(shape, run, a.values, products ? b.values : nullptr, products ? centre : nullptr);
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
    const SumPlan sums(1, plan.blocks(), shape.channels);
    const double share = 1 / (static_cast<double>(shape.images) * static_cast<double>(shape.pixels));
    merge_kernel<<<static_cast<unsigned>(sums.blocks()), sums.threads(), 0, stream>>>(sums, ChunkPixels(plan), share,
                                                                                      workspace, mean, variance);
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
