// Means and covariances of planes, as the statistics of norms want them. Compiled once for each instruction set:
// include it after hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_MOMENTS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_MOMENTS_INL_H
#undef UNIREPLK_KERNELS_CPU_MOMENTS_INL_H
#else
#define UNIREPLK_KERNELS_CPU_MOMENTS_INL_H
#endif

#include "unireplk/kernels/block.h"
#include "unireplk/kernels/cpu/block_plan.h"
#include "unireplk/kernels/cpu/channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

template <int kFrom, int kCount>
HWY_INLINE void zero_all(Vec (&values)[kCount]) {
  if constexpr (kFrom < kCount) {
    values[kFrom] = zero();
    zero_all<kFrom + 1>(values);
  }
}

template <int kFrom, int kCount>
HWY_INLINE void add_all(const Vec (&values)[kCount], float* to) {
  if constexpr (kFrom < kCount) {
    store(hn::Add(load(to), values[kFrom]), to);
    add_all<kFrom + 1>(values, to + kLanes);
  }
}

/// A pixel of kCount planes, `stride` apart, less their means.
template <int kFrom, int kCount>
HWY_INLINE void load_centred(Vec (&values)[kCount], const float* pixel, int64_t stride, const float* means) {
  if constexpr (kFrom < kCount) {
    values[kFrom] = hn::Sub(load(pixel + kFrom * stride), load(means + kFrom * kLanes));
    load_centred<kFrom + 1>(values, pixel, stride, means);
  }
}

/// The products of a pixel of plane kB with those of planes 0 .. kRows - 1 up to itself, to their places in an upper
/// triangle.
template <int kA, int kB, int kRows, int kCount, int kSums>
HWY_INLINE void add_products_with_rows(Vec (&sums)[kSums], const Vec (&rows)[kRows], Vec value) {
  if constexpr (kA < kRows && kA <= kB) {
    Vec& sum = sums[pair_index(kA, kB, kCount)];
    sum = hn::MulAdd(kA == kB ? value : rows[kA], value, sum);
    add_products_with_rows<kA + 1, kB, kRows, kCount>(sums, rows, value);
  }
}

/// Those of all planes from kB on, one after the other: all at once would not leave the sums their registers.
template <int kB, int kRows, int kCount, int kSums>
HWY_INLINE void add_products_of_pixel(Vec (&sums)[kSums], Vec (&rows)[kRows], const float* pixel, int64_t stride,
                                      const float* means) {
  if constexpr (kB < kCount) {
    const Vec value = hn::Sub(load(pixel + kB * stride), load(means + kB * kLanes));
    if constexpr (kB < kRows) rows[kB] = value;
    add_products_with_rows<0, kB, kRows, kCount>(sums, rows, value);
    add_products_of_pixel<kB + 1, kRows, kCount>(sums, rows, pixel, stride, means);
  }
}

/// Planes whose products with all others are taken in one pass: as many as leave their sums in registers.
constexpr int rows_at_once(int count) { return count < 2 ? count : kLanes == kMaxLanes && count <= 6 ? count : 2; }

/// Of planes 0 .. kCount - 1, `stride` apart: add to `sums` the rows of the upper triangle of their centred products
/// that one pass takes.
template <int kCount>
void add_centred_products(const PlaneLayout& layout, const float* planes, int64_t stride, const float* means,
                          float* to) {
  constexpr int kRows = rows_at_once(kCount);
  constexpr int kSums = static_cast<int>(pair_index(kRows - 1, kCount - 1, kCount)) + 1;
  Vec sums[kSums];
  zero_all<0>(sums);
  for (int64_t y = 0; y < layout.height; ++y) {
    const float* pixel = planes + y * layout.row_floats() + layout.first_pixel();
    for (int64_t x = 0; x < layout.width; ++x, pixel += kLanes) {
      Vec rows[kRows];
      add_products_of_pixel<0, kRows, kCount>(sums, rows, pixel, stride, means);
    }
  }
  add_all<0>(sums, to);
}

/// Means [count] and sums of centred products, upper triangle, of `count` planes.
inline void moments_of(const PlaneLayout& layout, const float* planes, int64_t count, int64_t stride, float* moments) {
  using Add = void (*)(const PlaneLayout&, const float*, int64_t, const float*, float*);
  static constexpr Add kAdd[kMaxBranches] = {add_centred_products<1>, add_centred_products<2>, add_centred_products<3>,
                                             add_centred_products<4>, add_centred_products<5>, add_centred_products<6>,
                                             add_centred_products<7>, add_centred_products<8>};
  const Vec share = all(1.0F / static_cast<float>(layout.height * layout.width));
  for (int64_t b = 0; b < count; ++b) {
    store(hn::Mul(sum_plane(layout, planes + b * stride), share), moments + b * kLanes);
  }
  float* sums = moments + count * kLanes;
  fill_zero(sums, count * (count + 1) / 2 * kLanes);
  for (int64_t b = 0; b < count; b += rows_at_once(static_cast<int>(count - b))) {
    kAdd[count - b - 1](layout, planes + b * stride, stride, moments + b * kLanes,
                        sums + pair_index(b, b, count) * kLanes);
  }
}

/// Merge the moments of `more` pixels into those of `pixels` others.
inline void merge_moments(int64_t count, float pixels, float more, const float* from, float* to) {
  const Vec share = all(more / (pixels + more)), weight = all(pixels * (more / (pixels + more)));
  float* sums = to + count * kLanes;
  const float* more_sums = from + count * kLanes;
  for (int64_t b = 0; b < count; ++b) {
    const Vec delta = hn::Sub(load(from + b * kLanes), load(to + b * kLanes));
    for (int64_t d = b; d < count; ++d, sums += kLanes, more_sums += kLanes) {
      const Vec other = hn::Sub(load(from + d * kLanes), load(to + d * kLanes));
      store(hn::MulAdd(hn::Mul(delta, weight), other, hn::Add(load(sums), load(more_sums))), sums);
    }
    store(hn::MulAdd(delta, share, load(to + b * kLanes)), to + b * kLanes);
  }
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
