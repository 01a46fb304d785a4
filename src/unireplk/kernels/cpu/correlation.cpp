#include "unireplk/kernels/cpu/plane.h"

#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/correlation.cpp"
#include <hwy/foreach_target.h>
// behind it
#include "unireplk/kernels/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

/// Rows of a kernel whose correlations are held in registers, beside a pixel and one value for each.
constexpr int kernel_rows_at_once(int size) {
  const int most_rows = size == 3 ? 3 : 2;  // three: products enough to cover their latency
  const int that_fit = (kRegisters - 1) / (size + 1);
  return that_fit < most_rows ? that_fit : most_rows;
}

/// Rows of a plane that are correlated with all of a kernel before those below, so that they stay in the nearest cache.
constexpr int64_t kBandRows = 14;

template <int kTile, bool kClosedLeft, bool kClosedRight, int kImages>
struct CorrelationTile : TileColumns<kTile, kClosedLeft, kClosedRight, kImages> {
  using Columns = TileColumns<kTile, kClosedLeft, kClosedRight, kImages>;
  using Columns::end_column, Columns::first_column, Columns::is_inside, Columns::kOpen, Columns::kWidth;

  // ---- correlation with a kernel known at compile time: sums of some of its rows

  template <int kRow, int kX, int kRows, int kSize>
  static HWY_INLINE void load_sums(Vec (&sums)[kRows][kSize], const float* from) {
    if constexpr (kX < kSize) {
      sums[kRow][kX] = load(from + (kRow * kSize + kX) * kLanes);
      load_sums<kRow, kX + 1>(sums, from);
    } else if constexpr (kRow + 1 < kRows) {
      load_sums<kRow + 1, 0>(sums, from);
    }
  }

  template <int kRow, int kX, int kRows, int kSize>
  static HWY_INLINE void store_sums(const Vec (&sums)[kRows][kSize], float* to) {
    if constexpr (kX < kSize) {
      store(sums[kRow][kX], to + (kRow * kSize + kX) * kLanes);
      store_sums<kRow, kX + 1>(sums, to);
    } else if constexpr (kRow + 1 < kRows) {
      store_sums<kRow + 1, 0>(sums, to);
    }
  }

  /// sums[row] += values[row] * pixel
  template <int kX, int kRow, int kEnd, int kRows, int kSize>
  static HWY_INLINE void correlate_pixel(Vec (&sums)[kRows][kSize], const Vec (&values)[kRows], Vec pixel) {
    if constexpr (kRow < kEnd) {
      accumulate(sums[kRow][kX], values[kRow], pixel);
      correlate_pixel<kX, kRow + 1, kEnd>(sums, values, pixel);
    }
  }

  template <int kDilation, int kColumn, int kX, int kBegin, int kEnd, int kRows, int kSize>
  static HWY_INLINE void correlate_neighbour(Vec (&sums)[kRows][kSize], const Vec (&values)[kRows], const float* row) {
    constexpr int kOffset = (kX - kSize / 2) * kDilation;
    if constexpr (is_inside(kColumn, kOffset)) {
      const float* pixel = row + (kColumn + kOffset) * kLanes;
      if constexpr (kBegin + 1 == kEnd) {
        accumulate(sums[kBegin][kX], values[kBegin], pixel);
      } else {
        correlate_pixel<kX, kBegin, kEnd>(sums, values, load_once(pixel));
      }
    }
  }

  template <int kRow, int kEnd, int kRows>
  static HWY_INLINE void load_values(Vec (&values)[kRows], const float* from, int64_t step) {
    if constexpr (kRow < kEnd) {
      values[kRow] = load_once(from - kRow * step);
      load_values<kRow + 1, kEnd>(values, from, step);
    }
  }

  template <int kDilation, int kColumn, int kBegin, int kEnd, int kRows, int kSize, int... kXs>
  static HWY_INLINE void correlate_column(Vec (&sums)[kRows][kSize], const float* values, const float* row,
                                          int64_t step, Indices<kXs...>) {
    Vec of_rows[kRows];
    load_values<kBegin, kEnd>(of_rows, values + kColumn * kLanes, step);
    (correlate_neighbour<kDilation, kColumn, kXs, kBegin, kEnd>(sums, of_rows, row), ...);
  }

  /// All columns of a row of the plane, for rows kBegin .. kEnd - 1 of `sums`. The values of row i lie i steps above
  /// `values`.
  template <int kDilation, int kBegin, int kEnd, int kRows, int kSize, int... kColumns>
  static HWY_INLINE void correlate_columns(Vec (&sums)[kRows][kSize], const float* values, const float* row,
                                           int64_t step, Indices<kColumns...>) {
    (correlate_column<kDilation, kColumns, kBegin, kEnd>(sums, values, row, step, FirstIndices<kSize>()), ...);
  }

  /// `count` rows of the plane, of which rows begin .. end - 1 of the sums have values.
  template <int kDilation, int kBegin, int kEnd, int kRows, int kSize>
  static HWY_INLINE void correlate_rows(Vec (&sums)[kRows][kSize], int64_t begin, int64_t end, const float* values,
                                        const float* row, int64_t count, int64_t row_floats, Fetcher& fetcher) {
    if (begin == kBegin && end == kEnd) {
      for (; count > 0; --count, values += row_floats, row += row_floats) {
        fetcher.fetch_some();
        correlate_columns<kDilation, kBegin, kEnd>(sums, values, row, kDilation * row_floats, FirstIndices<kTile>());
      }
    } else if constexpr (kEnd < kRows) {
      correlate_rows<kDilation, kBegin, kEnd + 1>(sums, begin, end, values, row, count, row_floats, fetcher);
    } else if constexpr (kBegin + 1 < kRows) {
      correlate_rows<kDilation, kBegin + 1, kBegin + 2>(sums, begin, end, values, row, count, row_floats, fetcher);
    }
  }

  /// The part that rows first .. end - 1 of the plane have in kRows rows of a kernel, from row ky on.
  template <int kSize, int kDilation, int kRows>
  static HWY_INLINE void correlate_kernel_rows(const PlaneLayout& layout, const float* values, const float* plane,
                                               int64_t ky, int64_t first, int64_t end, float* to, Fetcher& fetcher) {
    const int64_t height = layout.height, row_floats = layout.row_floats();
    Vec sums[kRows][kSize];
    load_sums<0, 0>(sums, to);
    for (int64_t iy = first; iy < end;) {
      const int64_t y = iy + (kSize / 2 - ky) * kDilation;  // row of the values for row 0 of the sums
      int64_t rows_begin = 0, rows_end = kRows;
      while (rows_begin < kRows && y - rows_begin * kDilation >= height) ++rows_begin;
      while (rows_end > 0 && y - (rows_end - 1) * kDilation < 0) --rows_end;
      int64_t count = end - iy;  // rows of the plane until the next row of sums loses its values, or gets some
      if (rows_begin < kRows) count = least(count, height - (y - rows_begin * kDilation));
      if (rows_end < kRows) count = least(count, rows_end * kDilation - y);
      correlate_rows<kDilation, 0, 1>(sums, rows_begin, rows_end, values + y * row_floats, plane + iy * row_floats,
                                      count, row_floats, fetcher);
      iy += count;
    }
    store_sums<0, 0>(sums, to);
  }

  template <int kSize, int kDilation>
  static void correlate_kernel(const PlaneLayout& layout, const float* values, const float* plane, float* sums,
                               Fetcher& fetcher) {
    constexpr int kRows = kernel_rows_at_once(kSize);
    for (int64_t first = 0; first < layout.height; first += kBandRows) {
      const int64_t end = least(first + kBandRows, layout.height);
      int64_t ky = 0;
      for (; ky + kRows <= kSize; ky += kRows) {
        correlate_kernel_rows<kSize, kDilation, kRows>(layout, values, plane, ky, first, end,
                                                       sums + ky * kSize * kLanes, fetcher);
      }
      if constexpr (kSize % kRows != 0) {
        correlate_kernel_rows<kSize, kDilation, kSize % kRows>(layout, values, plane, ky, first, end,
                                                               sums + ky * kSize * kLanes, fetcher);
      }
    }
  }

  // ---- correlation with any kernel: the values of a row of the tile

  template <int kColumn>
  static HWY_INLINE void forget(Vec (&values)[kTile], int64_t skip) {
    if constexpr (kColumn < kTile) {
      if (kColumn < skip) values[kColumn] = zero();
      forget<kColumn + 1>(values, skip);
    }
  }

  /// Two sums, so that the products of one tap do not all wait for each other.
  template <int kColumn, int kEnd>
  static HWY_INLINE void add_pairs(Vec& even, Vec& odd, const Vec (&values)[kTile], const float* row) {
    if constexpr (kColumn < kEnd) {
      even = hn::MulAdd(values[kColumn], load(row + kColumn * kLanes), even);
      if constexpr (kColumn + 1 < kEnd) {
        odd = hn::MulAdd(values[kColumn + 1], load(row + (kColumn + 1) * kLanes), odd);
        add_pairs<kColumn + 2, kEnd>(even, odd, values, row);
      }
    }
  }

  template <int kBegin, int kEnd>
  static HWY_INLINE void add_correlation(float* sum, const Vec (&values)[kTile], const float* row) {
    if constexpr (kBegin + 1 == kEnd) {
      store(hn::MulAdd(values[kBegin], load(row + kBegin * kLanes), load(sum)), sum);
    } else if constexpr (kBegin < kEnd) {
      Vec even = hn::Mul(values[kBegin], load(row + kBegin * kLanes));
      Vec odd = hn::Mul(values[kBegin + 1], load(row + (kBegin + 1) * kLanes));
      add_pairs<kBegin + 2, kEnd>(even, odd, values, row);
      store(hn::Add(load(sum), hn::Add(even, odd)), sum);
    }
  }

  template <int kOffset>
  static HWY_INLINE void correlate_tap_at(float* sum, const Vec (&values)[kTile], const float* row) {
    constexpr int kBegin = first_column(kOffset), kEnd = end_column(kOffset);
    add_correlation<kBegin, kEnd>(sum, values, row + kOffset * kLanes);
    if constexpr (kImages == 2) add_correlation<kWidth + kBegin, kWidth + kEnd>(sum, values, row + kOffset * kLanes);
  }

  /// sum += sum over columns of values[column] * row[column + offset]
  static HWY_INLINE void correlate_tap(float* sum, const Vec (&values)[kTile], const float* row, int64_t offset) {
    if (kOpen || (!kClosedLeft && offset <= 0) || (!kClosedRight && offset >= 0)) {
      return add_correlation<0, kTile>(sum, values, row + offset * kLanes);
    }
    switch (offset) {
#define UNIREPLK_CASE(n) \
  case n:                \
    return correlate_tap_at<n>(sum, values, row);
      UNIREPLK_OFFSETS(UNIREPLK_CASE)
#undef UNIREPLK_CASE
    }
  }

  /// \param skip  columns of the tile that another tile counts
  static void correlate_any(const PlaneLayout& layout, const float* values_plane, const float* plane, int64_t size,
                            int64_t dilation, int64_t skip, float* sums, Fetcher& fetcher) {
    for (int64_t y = 0; y < layout.height; ++y) {
      Vec values[kTile];
      load_all<0>(values, values_plane + y * layout.row_floats(), kLanes);
      if (HWY_UNLIKELY(skip > 0)) forget<0>(values, skip);
      const TapRows taps(y, size, dilation, layout.height);
      const int64_t first_offset = -(size / 2) * dilation;
      for (int64_t ky = taps.first; ky < taps.end; ++ky) {
        const float* row = plane + (y + first_offset + ky * dilation) * layout.row_floats();
        float* sum = sums + ky * size * kLanes;
        fetcher.fetch_some();
        for (int64_t kx = 0, offset = first_offset; kx < size; ++kx, offset += dilation) {
          correlate_tap(sum + kx * kLanes, values, row, offset);
        }
      }
    }
  }

  /// sums[k] += sum over the pixels p of the tile that starts at column x of values[p] * plane[p + k]
  static void run(const PlaneLayout& layout, const float* values, const float* plane, int64_t size, int64_t dilation,
                  int64_t x, int64_t skip, float* sums, Fetcher& fetcher) {
    values += x * kLanes;
    plane += x * kLanes;
    if constexpr (is_usual_tile(kTile)) {
      const auto known = [&](auto kernel) {
        correlate_kernel<kernel.kSize, kernel.kDilation>(layout, values, plane, sums, fetcher);
      };
      if (skip == 0 && visit_unrolled(size, dilation, known)) return;
    }
    correlate_any(layout, values, plane, size, dilation, skip, sums, fetcher);
  }
};

/// PlaneFunctions::correlate
void correlate(const PlaneLayout& layout, const float* values, const float* plane, int64_t size, int64_t dilation,
               float* sums, const Upcoming& upcoming) {
  Fetcher fetcher(upcoming);
  for (int64_t i = 0; i < layout.tiles; ++i) {
    const int64_t x = layout.tile_start(i);
    run_of<CorrelationTile>(layout, i)(layout, values, plane, size, dilation, x, i * layout.tile - x, sums, fetcher);
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {

HWY_EXPORT(correlate);

CorrelateFunction correlate_function() {
  prepare_dispatch();
  return HWY_DYNAMIC_DISPATCH(correlate);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
