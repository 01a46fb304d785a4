#include "unireplk/kernels/cpu/plane.h"

#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/plane.cpp"
#include <hwy/foreach_target.h>
// behind it
#include "unireplk/kernels/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

/// What a convolution of the tile that starts at column x is asked for.
struct Convolution {
  const PlaneLayout& layout;
  const Term& term;
  int64_t x;
  const Pixels<const float>& start;
  const Pixels<float>& to;
  Fetcher& fetcher;
};

template <int kTile, bool kClosedLeft, bool kClosedRight, int kImages>
struct ConvolutionTile : TileColumns<kTile, kClosedLeft, kClosedRight, kImages> {
  using Columns = TileColumns<kTile, kClosedLeft, kClosedRight, kImages>;
  using Columns::is_inside, Columns::kOpen, Columns::meets_map;

  template <int kColumn>
  static HWY_INLINE void store_all(const Vec (&values)[kTile], float* to, int64_t stride) {
    if constexpr (kColumn < kTile) {
      hn::StoreU(values[kColumn], Floats(), to + kColumn * stride);
      store_all<kColumn + 1>(values, to, stride);
    }
  }

  /// What the sums of row y start from. Where they go to is asked for, for in a map it is a cache line for each pixel
  /// that no one has read.
  static HWY_INLINE void start_row(Vec (&sums)[kTile], const Convolution& job, int64_t y) {
    const int64_t step = job.to.pixel;
    if (step != kLanes) {
      const float* to = job.to.at(y, job.x);
      for (int i = 0; i < kTile; ++i) __builtin_prefetch(to + i * step, /*write=*/1);
    }
    if (job.start.pixel == 0) {
      set_all<0>(sums, hn::LoadU(Floats(), job.start.first));
    } else {
      load_all<0>(sums, job.start.at(y, job.x), job.start.pixel);
    }
  }

  template <int kColumn>
  static HWY_INLINE void set_all(Vec (&values)[kTile], Vec value) {
    if constexpr (kColumn < kTile) {
      values[kColumn] = value;
      set_all<kColumn + 1>(values, value);
    }
  }

  template <int kRow, int kRowEnd, int kOffset, int kColumn, int kRows>
  static HWY_INLINE void add_product([[maybe_unused]] Vec (&sums)[kRows][kTile],
                                     [[maybe_unused]] const Vec (&weights)[kRows], [[maybe_unused]] const float* row) {
    if constexpr (is_inside(kColumn, kOffset)) {
      const float* from = row + (kColumn + kOffset) * kLanes;
      if constexpr (kRow + 1 == kRowEnd) {
        accumulate(sums[kRow][kColumn], weights[kRow], from);
      } else {
        const Vec pixel = load_once(from);
        accumulate(sums[kRow][kColumn], weights[kRow], pixel);
        accumulate(sums[kRow + 1][kColumn], weights[kRow + 1], pixel);
      }
    }
  }

  /// sums[r][column] += weights[r] * row[column + kOffset], for r from kRow to kRowEnd - 1 and all columns
  template <int kRow, int kRowEnd, int kOffset, int kRows, int... kColumns>
  static HWY_INLINE void add_products(Vec (&sums)[kRows][kTile], const Vec (&weights)[kRows], const float* row,
                                      Indices<kColumns...>) {
    (add_product<kRow, kRowEnd, kOffset, kColumns>(sums, weights, row), ...);
  }

  template <int kOffset>
  static HWY_INLINE void add_tap_at(Vec (&sums)[1][kTile], Vec weight, const float* row) {
    add_products<0, 1, kOffset>(sums, {weight}, row, FirstIndices<kTile>());
  }

  /// sums[column] += weight * row[column + offset]
  static HWY_INLINE void add_tap(Vec (&sums)[1][kTile], Vec weight, const float* row, int64_t offset) {
    if (kOpen || (!kClosedLeft && offset <= 0) || (!kClosedRight && offset >= 0)) {
      return add_tap_at<0>(sums, weight, row + offset * kLanes);
    }
    switch (offset) {
#define UNIREPLK_CASE(n) \
  case n:                \
    return add_tap_at<n>(sums, weight, row);
      UNIREPLK_OFFSETS(UNIREPLK_CASE)
#undef UNIREPLK_CASE
    }
  }

  static void convolve_any(const Convolution& job) {
    const auto& [plane, filters, size, dilation] = job.term;
    const int64_t row_floats = job.layout.row_floats(), first_offset = -(size / 2) * dilation;
    for (int64_t y = 0; y < job.layout.height; ++y) {
      Vec sums[1][kTile];
      start_row(sums[0], job, y);
      const TapRows taps(y, size, dilation, job.layout.height);
      for (int64_t ky = taps.first; ky < taps.end; ++ky) {
        const float* row = plane + (y + first_offset + ky * dilation) * row_floats + job.x * kLanes;
        job.fetcher.fetch_some();
        for (int64_t kx = 0, offset = first_offset; kx < size; ++kx, offset += dilation) {
          add_tap(sums, load(filters + (ky * size + kx) * kLanes), row, offset);
        }
      }
      store_all<0>(sums[0], job.to.at(y, job.x), job.to.pixel);
    }
  }

  template <int kSize, int kDilation, int kRow, int kRowEnd, int kX, int kRows>
  static HWY_INLINE void add_kernel_tap(Vec (&sums)[kRows][kTile], const float* taps, const float* row) {
    constexpr int kOffset = (kX - kSize / 2) * kDilation;
    if constexpr (meets_map(kOffset)) {
      Vec weights[kRows];
      weights[kRow] = load_once(taps + kX * kLanes);
      if constexpr (kRow + 1 < kRowEnd) weights[kRow + 1] = load_once(taps + (kX - kSize) * kLanes);
      add_products<kRow, kRowEnd, kOffset>(sums, weights, row, FirstIndices<kTile>());
    }
  }

  /// The i-th tap of a row to take: from its left and right half in turn, for on a narrow map the outer ones of one
  /// half all wait for the sums of the same few columns.
  static constexpr int tap_in_turn(int i, int size) { return i % 2 == 0 ? i / 2 : i / 2 + (size + 1) / 2; }

  /// All taps of a kernel's row with a row of the plane. Sums of row kRow take the kernel's row at `taps`, those of the
  /// next the one before: they lie one step of the dilation below.
  template <int kDilation, int kRow, int kRowEnd, int kRows, int... kXs>
  static HWY_INLINE void add_kernel_row(Vec (&sums)[kRows][kTile], const float* taps, const float* row,
                                        Indices<kXs...>) {
    (add_kernel_tap<sizeof...(kXs), kDilation, kRow, kRowEnd, tap_in_turn(kXs, sizeof...(kXs))>(sums, taps, row), ...);
  }

  /// Kernel rows ky .. end - 1, the middle one of them all being at row y of the plane.
  template <int kSize, int kDilation, int kRow, int kRowEnd, int kRows>
  static HWY_INLINE void add_kernel_rows(Vec (&sums)[kRows][kTile], const Convolution& job, int64_t y, int64_t ky,
                                         int64_t end) {
    const int64_t step = kDilation * job.layout.row_floats();
    const float* taps = job.term.filters + ky * kSize * kLanes;
    const float* row = job.term.plane + job.x * kLanes + y * job.layout.row_floats() + (ky - kSize / 2) * step;
    for (; ky < end; ++ky, taps += kSize * kLanes, row += step) {
      job.fetcher.fetch_some();
      add_kernel_row<kDilation, kRow, kRowEnd>(sums, taps, row, FirstIndices<kSize>());
    }
  }

  template <int kSize, int kDilation>
  static HWY_INLINE void convolve_row(const Convolution& job, int64_t y) {
    Vec sums[1][kTile];
    start_row(sums[0], job, y);
    const TapRows taps(y, kSize, kDilation, job.layout.height);
    add_kernel_rows<kSize, kDilation, 0, 1>(sums, job, y, taps.first, taps.end);
    store_all<0>(sums[0], job.to.at(y, job.x), job.to.pixel);
  }

  /// Rows y and y + kDilation: but for the first or last, a row of the plane that meets one meets the other as well.
  template <int kSize, int kDilation>
  static HWY_INLINE void convolve_two_rows(const Convolution& job, int64_t y) {
    const int64_t other = y + kDilation;
    Vec sums[2][kTile];
    start_row(sums[0], job, y);
    start_row(sums[1], job, other);
    const TapRows taps(y, kSize, kDilation, job.layout.height), others(other, kSize, kDilation, job.layout.height);
    add_kernel_rows<kSize, kDilation, 0, 1>(sums, job, y, taps.first, others.first + 1);
    add_kernel_rows<kSize, kDilation, 0, 2>(sums, job, y, others.first + 1, taps.end);
    add_kernel_rows<kSize, kDilation, 1, 2>(sums, job, other, taps.end - 1, others.end);
    store_all<0>(sums[0], job.to.at(y, job.x), job.to.pixel);
    store_all<0>(sums[1], job.to.at(other, job.x), job.to.pixel);
  }

  /// A kernel known at compile time.
  template <int kSize, int kDilation>
  static void convolve_kernel(const Convolution& job) {
    const int64_t height = job.layout.height;
    if constexpr (kRegisters == 32) {
      for (int64_t first = 0; first < height; first += 2 * kDilation) {
        for (int64_t y = first; y < least(first + kDilation, height); ++y) {
          if (y + kDilation < height) {
            convolve_two_rows<kSize, kDilation>(job, y);
          } else {
            convolve_row<kSize, kDilation>(job, y);
          }
        }
      }
    } else {
      for (int64_t y = 0; y < height; ++y) convolve_row<kSize, kDilation>(job, y);
    }
  }

  static void run(const Convolution& job) {
    if constexpr (is_usual_tile(kTile)) {
      const auto known = [&](auto kernel) { convolve_kernel<kernel.kSize, kernel.kDilation>(job); };
      if (visit_unrolled(job.term.size, job.term.dilation, known)) return;
    }
    convolve_any(job);
  }
};

/// PlaneFunctions::convolve
void convolve(const PlaneLayout& layout, const Term& term, const Pixels<const float>& start, const Pixels<float>& to,
              const Upcoming& upcoming) {
  Fetcher fetcher(upcoming);
  for (int64_t i = 0; i < layout.tiles; ++i) {
    run_of<ConvolutionTile>(layout, i)({layout, term, layout.tile_start(i), start, to, fetcher});
  }
}

int64_t lanes() { return kLanes; }

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {

HWY_EXPORT(lanes);
HWY_EXPORT(convolve);

PlaneFunctions plane_functions() {
  prepare_dispatch();
  return {HWY_DYNAMIC_DISPATCH(lanes)(), HWY_DYNAMIC_DISPATCH(convolve), correlate_function()};
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
