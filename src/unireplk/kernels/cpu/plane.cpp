#include "unireplk/kernels/cpu/plane.h"

#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/plane.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/cache_control.h>
#include "unireplk/kernels/cpu/channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

/// Kernel rows that meet the map when the middle of the kernel is at a row of it. Begins at row 0 and goes down row by
/// row: a division for each would cost as much as a row of a small map.
class TapRows {
 public:
  TapRows() = default;
  TapRows(int64_t size, int64_t dilation, int64_t height)
      : size_(size), dilation_(dilation), below_((height - 1) / dilation), below_rest_((height - 1) % dilation) {}

  int64_t first() const { return most(0, size_ / 2 - above_); }
  int64_t end() const { return least(size_, size_ / 2 + below_ + 1); }

  void next() {
    if (++above_rest_ == dilation_) {
      above_rest_ = 0;
      ++above_;
    }
    if (below_rest_-- == 0) {
      below_rest_ = dilation_ - 1;
      --below_;
    }
  }

 private:
  int64_t size_ = 0, dilation_ = 1;
  int64_t above_ = 0, above_rest_ = 0;  ///< whole steps of the dilation from the first row, and rows over
  int64_t below_ = 0, below_rest_ = 0;  ///< the same to the last row
};

/// Kernels whose rows are unrolled: those of a 13 x 13 block, the only large one of published networks. Others take a
/// jump for every tap.
enum class Unrolled { kNone, k13x1, k5x1, k7x2, k3x3, k3x4, k3x5 };

inline Unrolled unrolled_kernel(int64_t size, int64_t dilation) {
  if (size == 13 && dilation == 1) return Unrolled::k13x1;
  if (size == 5 && dilation == 1) return Unrolled::k5x1;
  if (size == 7 && dilation == 2) return Unrolled::k7x2;
  if (size == 3 && dilation == 3) return Unrolled::k3x3;
  if (size == 3 && dilation == 4) return Unrolled::k3x4;
  if (size == 3 && dilation == 5) return Unrolled::k3x5;
  return Unrolled::kNone;
}

/// Tiles that the maps of 224 and 384 pixel images are cut into, and whose code is worth its size.
constexpr bool is_usual_tile(int columns) {
  return kLanes > 1 && (columns == 6 || columns == 7 || columns == 12 || columns == 14);
}

/// One output row range of one column tile. At a closed end the map ends with the tile, at an open one it goes on for
/// at least the reach of the kernel.
template <int kTile, bool kClosedLeft, bool kClosedRight>
struct Tile {
  static constexpr bool kOpen = !kClosedLeft && !kClosedRight;

  /// Columns of the tile whose neighbour at `offset` lies inside the map.
  static constexpr int first_column(int offset) { return kClosedLeft && offset < 0 ? -offset : 0; }
  static constexpr int end_column(int offset) { return kClosedRight && offset > 0 ? kTile - offset : kTile; }

  template <int kColumn, int kEnd>
  static HWY_INLINE void add_products(Vec (&sums)[kTile], Vec weight, const float* from) {
    if constexpr (kColumn < kEnd) {
      sums[kColumn] = hn::MulAdd(weight, load(from + kColumn * kLanes), sums[kColumn]);
      add_products<kColumn + 1, kEnd>(sums, weight, from);
    }
  }

  template <int kOffset>
  static HWY_INLINE void add_tap_at(Vec (&sums)[kTile], Vec weight, const float* row) {
    add_products<first_column(kOffset), end_column(kOffset)>(sums, weight, row + kOffset * kLanes);
  }

  /// sums[column] += weight * row[column + offset]
  static HWY_INLINE void add_tap(Vec (&sums)[kTile], Vec weight, const float* row, int64_t offset) {
    if (kOpen || (!kClosedLeft && offset <= 0) || (!kClosedRight && offset >= 0)) {
      return add_products<0, kTile>(sums, weight, row + offset * kLanes);
    }
    switch (offset) {
#define UNIREPLK_CASE(n) \
  case n:                \
    return add_tap_at<n>(sums, weight, row);
// clang-format off
#define UNIREPLK_CASES \
  UNIREPLK_CASE(-13) UNIREPLK_CASE(-12) UNIREPLK_CASE(-11) UNIREPLK_CASE(-10) UNIREPLK_CASE(-9) UNIREPLK_CASE(-8) \
  UNIREPLK_CASE(-7) UNIREPLK_CASE(-6) UNIREPLK_CASE(-5) UNIREPLK_CASE(-4) UNIREPLK_CASE(-3) UNIREPLK_CASE(-2) \
  UNIREPLK_CASE(-1) UNIREPLK_CASE(0) UNIREPLK_CASE(1) UNIREPLK_CASE(2) UNIREPLK_CASE(3) UNIREPLK_CASE(4) \
  UNIREPLK_CASE(5) UNIREPLK_CASE(6) UNIREPLK_CASE(7) UNIREPLK_CASE(8) UNIREPLK_CASE(9) UNIREPLK_CASE(10) \
  UNIREPLK_CASE(11) UNIREPLK_CASE(12) UNIREPLK_CASE(13)
      // clang-format on
      UNIREPLK_CASES
#undef UNIREPLK_CASE
    }
  }

  /// All taps of a kernel's row.
  template <int kSize, int kDilation, int kX = 0>
  static HWY_INLINE void add_row(Vec (&sums)[kTile], const float* taps, const float* row) {
    if constexpr (kX < kSize) {
      constexpr int kOffset = (kX - kSize / 2) * kDilation;
      if constexpr (first_column(kOffset) < end_column(kOffset)) {
        add_tap_at<kOffset>(sums, load(taps + kX * kLanes), row);
      }
      add_row<kSize, kDilation, kX + 1>(sums, taps, row);
    }
  }

  /// `count` rows of a kernel and of the plane, `step` floats from row to row. The loop is in here so that the sums
  /// stay in the registers they are in.
  template <int kSize, int kDilation>
  static HWY_INLINE void add_rows(Vec (&sums)[kTile], const float* taps, const float* row, int64_t count,
                                  int64_t step) {
    for (; count > 0; --count, row += step, taps += kSize * kLanes) add_row<kSize, kDilation>(sums, taps, row);
  }

  static HWY_INLINE bool add_unrolled(Vec (&sums)[kTile], Unrolled kernel, const float* taps, const float* row,
                                      int64_t count, int64_t step) {
    if constexpr (is_usual_tile(kTile)) {
      switch (kernel) {
        case Unrolled::k13x1:
          return add_rows<13, 1>(sums, taps, row, count, step), true;
        case Unrolled::k5x1:
          return add_rows<5, 1>(sums, taps, row, count, step), true;
        case Unrolled::k7x2:
          return add_rows<7, 2>(sums, taps, row, count, step), true;
        case Unrolled::k3x3:
          return add_rows<3, 3>(sums, taps, row, count, step), true;
        case Unrolled::k3x4:
          return add_rows<3, 4>(sums, taps, row, count, step), true;
        case Unrolled::k3x5:
          return add_rows<3, 5>(sums, taps, row, count, step), true;
        case Unrolled::kNone:
          break;
      }
    }
    return false;
  }

  /// Ask for the tile's part of a row of the maps that are packed next.
  static HWY_INLINE void fetch(const Upcoming& upcoming, int64_t y, int64_t x) {
    for (const float* map : upcoming.maps) {
      if (!map) continue;
      const float* pixel = map + y * upcoming.row + x * upcoming.pixel;
      for (int64_t i = 0; i < kTile; ++i) hwy::Prefetch(pixel + i * upcoming.pixel);
    }
  }

  template <int kColumn>
  static HWY_INLINE void set_all(Vec (&sums)[kTile], Vec value) {
    if constexpr (kColumn < kTile) {
      sums[kColumn] = value;
      set_all<kColumn + 1>(sums, value);
    }
  }

  template <int kColumn>
  static HWY_INLINE void store_all(const Vec (&sums)[kTile], float* to, int64_t stride) {
    if constexpr (kColumn < kTile) {
      hn::StoreU(sums[kColumn], Floats(), to + kColumn * stride);
      store_all<kColumn + 1>(sums, to, stride);
    }
  }

  /// to[y][column] = start + sum of all terms, for every row y of the tile that starts at column x.
  static void convolve(const PlaneLayout& layout, const Term* terms, int64_t count, int64_t x, const float* start,
                       float* to, int64_t to_row, int64_t to_pixel, const Upcoming& upcoming) {
    TapRows rows_of[kMaxTerms];
    for (int64_t i = 0; i < count; ++i) rows_of[i] = TapRows(terms[i].size, terms[i].dilation, layout.height);
    for (int64_t y = 0; y < layout.height; ++y) {
      fetch(upcoming, y, x);
      Vec sums[kTile];
      set_all<0>(sums, load(start));
      for (int64_t i = 0; i < count; ++i) {
        const auto& [plane, filters, size, dilation] = terms[i];
        const int64_t first = rows_of[i].first(), end = rows_of[i].end();
        rows_of[i].next();
        const int64_t first_offset = -(size / 2) * dilation;
        const float* row = plane + (y + (first - size / 2) * dilation) * layout.row_floats() + x * kLanes;
        const float* tap = filters + first * size * kLanes;
        const int64_t step = dilation * layout.row_floats();
        if (add_unrolled(sums, unrolled_kernel(size, dilation), tap, row, end - first, step)) continue;
        for (int64_t ky = first; ky < end; ++ky, row += step, tap += size * kLanes) {
          for (int64_t kx = 0, offset = first_offset; kx < size; ++kx, offset += dilation) {
            add_tap(sums, load(tap + kx * kLanes), row, offset);
          }
        }
      }
      store_all<0>(sums, to + y * to_row, to_pixel);
    }
  }

  template <int kColumn>
  static HWY_INLINE void load_all(Vec (&values)[kTile], const float* from) {
    if constexpr (kColumn < kTile) {
      values[kColumn] = load(from + kColumn * kLanes);
      load_all<kColumn + 1>(values, from);
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
    add_correlation<first_column(kOffset), end_column(kOffset)>(sum, values, row + kOffset * kLanes);
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
      UNIREPLK_CASES
#undef UNIREPLK_CASE
#undef UNIREPLK_CASES
    }
  }

  template <int kSize, int kDilation, int kX = 0>
  static HWY_INLINE void correlate_row(float* sums, const Vec (&values)[kTile], const float* row) {
    if constexpr (kX < kSize) {
      correlate_tap_at<(kX - kSize / 2) * kDilation>(sums + kX * kLanes, values, row);
      correlate_row<kSize, kDilation, kX + 1>(sums, values, row);
    }
  }

  static HWY_INLINE bool correlate_unrolled_row(float* sums, Unrolled kernel, const Vec (&values)[kTile],
                                                const float* row) {
    if constexpr (is_usual_tile(kTile)) {
      switch (kernel) {
        case Unrolled::k13x1:
          return correlate_row<13, 1>(sums, values, row), true;
        case Unrolled::k5x1:
          return correlate_row<5, 1>(sums, values, row), true;
        case Unrolled::k7x2:
          return correlate_row<7, 2>(sums, values, row), true;
        case Unrolled::k3x3:
          return correlate_row<3, 3>(sums, values, row), true;
        case Unrolled::k3x4:
          return correlate_row<3, 4>(sums, values, row), true;
        case Unrolled::k3x5:
          return correlate_row<3, 5>(sums, values, row), true;
        case Unrolled::kNone:
          break;
      }
    }
    return false;
  }

  /// sums[k] += sum over the pixels p of the tile of values[p] * plane[p + k]
  /// \param skip  columns of the tile that another tile counts
  static void correlate(const PlaneLayout& layout, const float* values_plane, const float* plane, int64_t size,
                        int64_t dilation, int64_t x, int64_t skip, float* sums, const Upcoming& upcoming) {
    TapRows rows(size, dilation, layout.height);
    for (int64_t y = 0; y < layout.height; ++y, rows.next()) {
      fetch(upcoming, y, x);
      Vec values[kTile];
      load_all<0>(values, values_plane + y * layout.row_floats() + x * kLanes);
      if (HWY_UNLIKELY(skip > 0)) forget<0>(values, skip);
      const int64_t first = rows.first(), end = rows.end();
      const int64_t first_offset = -(size / 2) * dilation;
      const float* row = plane + (y + (first - size / 2) * dilation) * layout.row_floats() + x * kLanes;
      float* sum = sums + first * size * kLanes;
      const Unrolled kind = unrolled_kernel(size, dilation);
      for (int64_t ky = first; ky < end; ++ky, row += dilation * layout.row_floats(), sum += size * kLanes) {
        if (correlate_unrolled_row(sum, kind, values, row)) continue;
        for (int64_t kx = 0, offset = first_offset; kx < size; ++kx, offset += dilation) {
          correlate_tap(sum + kx * kLanes, values, row, offset);
        }
      }
    }
  }

  template <int kColumn>
  static HWY_INLINE void forget(Vec (&values)[kTile], int64_t skip) {
    if constexpr (kColumn < kTile) {
      if (kColumn < skip) values[kColumn] = zero();
      forget<kColumn + 1>(values, skip);
    }
  }
};

struct TileFunctions {
  decltype(&Tile<1, true, true>::convolve) convolve;
  decltype(&Tile<1, true, true>::correlate) correlate;
};

template <int kTile, bool kClosedLeft, bool kClosedRight>
constexpr TileFunctions tile_functions() {
  using T = Tile<kTile, kClosedLeft, kClosedRight>;
  return {&T::convolve, &T::correlate};
}

/// Tiles of rows that take more than one are wider than half of the largest (PlaneLayout).
constexpr int kLeastOpenTile = 8;

template <int kTile>
TileFunctions functions_of(bool closed_left, bool closed_right) {
  if (closed_left && closed_right) return tile_functions<kTile, true, true>();
  if constexpr (kTile >= kLeastOpenTile) {
    if (closed_left) return tile_functions<kTile, true, false>();
    if (closed_right) return tile_functions<kTile, false, true>();
    return tile_functions<kTile, false, false>();
  }
  return {nullptr, nullptr};
}

TileFunctions functions_of(const PlaneLayout& layout, int64_t tile) {
  using Choose = TileFunctions (*)(bool, bool);
  static constexpr Choose kChoose[kMaxTile] = {functions_of<1>,  functions_of<2>,  functions_of<3>,  functions_of<4>,
                                               functions_of<5>,  functions_of<6>,  functions_of<7>,  functions_of<8>,
                                               functions_of<9>,  functions_of<10>, functions_of<11>, functions_of<12>,
                                               functions_of<13>, functions_of<14>};
  return kChoose[layout.tile - 1](layout.is_left_end(tile), layout.is_right_end(tile));
}

/// PlaneFunctions::convolve
void convolve(const PlaneLayout& layout, const Term* terms, int64_t count, const float* start, float* to,
              int64_t to_row, int64_t to_pixel, const Upcoming& upcoming) {
  HWY_ALIGN static constexpr float kZeros[kLanes] = {};
  for (int64_t i = 0; i < layout.tiles; ++i) {
    const int64_t x = layout.tile_start(i);
    functions_of(layout, i).convolve(layout, terms, count, x, start ? start : kZeros, to + x * to_pixel, to_row,
                                     to_pixel, upcoming);
  }
}

/// PlaneFunctions::correlate
void correlate(const PlaneLayout& layout, const float* values, const float* plane, int64_t size, int64_t dilation,
               float* sums, const Upcoming& upcoming) {
  for (int64_t i = 0; i < layout.tiles; ++i) {
    const int64_t x = layout.tile_start(i);
    functions_of(layout, i).correlate(layout, values, plane, size, dilation, x, i * layout.tile - x, sums, upcoming);
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
HWY_EXPORT(correlate);

PlaneFunctions plane_functions() {
  prepare_dispatch();
  return {HWY_DYNAMIC_DISPATCH(lanes)(), HWY_DYNAMIC_DISPATCH(convolve), HWY_DYNAMIC_DISPATCH(correlate)};
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
