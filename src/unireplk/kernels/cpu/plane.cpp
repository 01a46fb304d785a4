#include "unireplk/kernels/cpu/plane.h"

#include <utility>

#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/plane.cpp"
#include <hwy/foreach_target.h>
// behind it
#include "unireplk/kernels/cpu/channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

/// Of the kernel rows with their middle at a row of the map, those that meet the map: first .. end - 1.
struct TapRows {
  HWY_INLINE TapRows(int64_t y, int64_t size, int64_t dilation, int64_t height)
      : first(most(0, size / 2 - y / dilation)), end(least(size, size / 2 + (height - 1 - y) / dilation + 1)) {}

  int64_t first, end;
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

/// Vector registers. Where there are 32, two rows of the map or of a kernel are held in them at once, so that every
/// load of a pixel serves two products: one alone keeps the units for loads as busy as those for products.
constexpr int kRegisters = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 32 : 16;

/// What is loaded, and what is done with it, in the order in which it stands here: GCC would repeat a load in every
/// product, or keep in registers, until they spill, what the next tap loads again.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
#define UNIREPLK_VECTOR_AT(from) *reinterpret_cast<const decltype(Vec::raw)*>(from)

HWY_INLINE Vec load_once(const float* from) {
  Vec value;
  asm volatile("vmovaps %1, %0" : "=v"(value.raw) : "m"(UNIREPLK_VECTOR_AT(from)));
  return value;
}

/// sum += a * b
HWY_INLINE void accumulate(Vec& sum, Vec a, Vec b) {
  asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
}

/// sum += a * *from
HWY_INLINE void accumulate(Vec& sum, Vec a, const float* from) {
  asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "m"(UNIREPLK_VECTOR_AT(from)));
}

#undef UNIREPLK_VECTOR_AT
#else
HWY_INLINE Vec load_once(const float* from) { return load(from); }
HWY_INLINE void accumulate(Vec& sum, Vec a, Vec b) { sum = hn::MulAdd(a, b, sum); }
HWY_INLINE void accumulate(Vec& sum, Vec a, const float* from) { accumulate(sum, a, load(from)); }
#endif

/// Asks for upcoming pixels, a few at a time: more of them at once than the processor can wait for would stop it.
class Fetcher {
 public:
  explicit Fetcher(const Upcoming& upcoming)
      : next_{upcoming.maps[0], upcoming.maps[1]},
        step_(upcoming.pixel),
        left_(upcoming.maps[0] ? upcoming.pixels : 0) {}

  HWY_INLINE void fetch_some() {
    constexpr int64_t kSome = 3;  // all of a map during one convolution with a large kernel
    if (left_ <= 0) return;
    left_ -= kSome;
    for (const float*& map : next_) {
      if (!map) continue;
      for (int64_t i = 0; i < kSome; ++i, map += step_) __builtin_prefetch(map, /*write=*/0, kSecondCache);
    }
  }

 private:
  static constexpr int kSecondCache = 2;  // the first one holds the planes that are worked on

  const float* next_[2];
  int64_t step_, left_;
};

/// Rows of a kernel whose correlations are held in registers, beside a pixel and one value for each.
constexpr int kernel_rows_at_once(int size) {
  const int most_rows = size == 3 ? 3 : 2;  // three: products enough to cover their latency
  const int that_fit = (kRegisters - 1) / (size + 1);
  return that_fit < most_rows ? that_fit : most_rows;
}

/// Rows of a plane that are correlated with all of a kernel before those below, so that they stay in the nearest cache.
constexpr int64_t kBandRows = 14;

template <int... kIndices>
using Indices = std::integer_sequence<int, kIndices...>;

/// 0 .. kCount - 1
template <int kCount>
using FirstIndices = std::make_integer_sequence<int, kCount>;

/// What a convolution of the tile that starts at column x is asked for.
struct Convolution {
  const PlaneLayout& layout;
  const Term& term;
  int64_t x;
  const Pixels<const float>& start;
  const Pixels<float>& to;
  Fetcher& fetcher;
};

/// The columns of one tile. At a closed end the map ends with the tile, at an open one it goes on for at least the
/// reach of the kernel.
template <int kTile, bool kClosedLeft, bool kClosedRight>
struct Tile {
  static constexpr bool kOpen = !kClosedLeft && !kClosedRight;

  /// Columns of the tile whose neighbour at `offset` lies inside the map.
  static constexpr int first_column(int offset) { return kClosedLeft && offset < 0 ? -offset : 0; }
  static constexpr int end_column(int offset) { return kClosedRight && offset > 0 ? kTile - offset : kTile; }

  template <int kOffset>
  using InsideColumns =
      FirstIndices<(first_column(kOffset) < end_column(kOffset) ? end_column(kOffset) - first_column(kOffset) : 0)>;

  /// Whether the neighbour at `offset` of a column lies inside the map.
  static constexpr bool is_inside(int column, int offset) {
    return column >= first_column(offset) && column < end_column(offset);
  }

  // ---- convolution: sums of one row of the tile or of two

  template <int kColumn>
  static HWY_INLINE void load_all(Vec (&values)[kTile], const float* from, int64_t stride) {
    if constexpr (kColumn < kTile) {
      values[kColumn] = hn::LoadU(Floats(), from + kColumn * stride);
      load_all<kColumn + 1>(values, from, stride);
    }
  }

  template <int kColumn>
  static HWY_INLINE void store_all(const Vec (&values)[kTile], float* to, int64_t stride) {
    if constexpr (kColumn < kTile) {
      hn::StoreU(values[kColumn], Floats(), to + kColumn * stride);
      store_all<kColumn + 1>(values, to, stride);
    }
  }

  template <int kRow, int kRowEnd, int kColumn, int kRows>
  static HWY_INLINE void add_product(Vec (&sums)[kRows][kTile], const Vec (&weights)[kRows], const float* from) {
    if constexpr (kRow + 1 == kRowEnd) {
      accumulate(sums[kRow][kColumn], weights[kRow], from + kColumn * kLanes);
    } else {
      const Vec pixel = load_once(from + kColumn * kLanes);
      accumulate(sums[kRow][kColumn], weights[kRow], pixel);
      accumulate(sums[kRow + 1][kColumn], weights[kRow + 1], pixel);
    }
  }

  /// sums[row][kFirst + i] += weights[row] * from[kFirst + i], for rows kRow .. kRowEnd - 1 and every index i
  template <int kRow, int kRowEnd, int kFirst, int kRows, int... kIndices>
  static HWY_INLINE void add_products([[maybe_unused]] Vec (&sums)[kRows][kTile],
                                      [[maybe_unused]] const Vec (&weights)[kRows], [[maybe_unused]] const float* from,
                                      Indices<kIndices...>) {
    (add_product<kRow, kRowEnd, kFirst + kIndices>(sums, weights, from), ...);
  }

  template <int kOffset>
  static HWY_INLINE void add_tap_at(Vec (&sums)[1][kTile], Vec weight, const float* row) {
    add_products<0, 1, first_column(kOffset)>(sums, {weight}, row + kOffset * kLanes, InsideColumns<kOffset>());
  }

  /// sums[column] += weight * row[column + offset]
  static HWY_INLINE void add_tap(Vec (&sums)[1][kTile], Vec weight, const float* row, int64_t offset) {
    if (kOpen || (!kClosedLeft && offset <= 0) || (!kClosedRight && offset >= 0)) {
      return add_products<0, 1, 0>(sums, {weight}, row + offset * kLanes, FirstIndices<kTile>());
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

  static void convolve_any(const Convolution& job) {
    const auto& [plane, filters, size, dilation] = job.term;
    const int64_t row_floats = job.layout.row_floats(), first_offset = -(size / 2) * dilation;
    for (int64_t y = 0; y < job.layout.height; ++y) {
      Vec sums[1][kTile];
      load_all<0>(sums[0], job.start.at(y, job.x), job.start.pixel);
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
    if constexpr (first_column(kOffset) < end_column(kOffset)) {
      Vec weights[kRows];
      weights[kRow] = load_once(taps + kX * kLanes);
      if constexpr (kRow + 1 < kRowEnd) weights[kRow + 1] = load_once(taps + (kX - kSize) * kLanes);
      add_products<kRow, kRowEnd, first_column(kOffset)>(sums, weights, row + kOffset * kLanes,
                                                         InsideColumns<kOffset>());
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
    load_all<0>(sums[0], job.start.at(y, job.x), job.start.pixel);
    const TapRows taps(y, kSize, kDilation, job.layout.height);
    add_kernel_rows<kSize, kDilation, 0, 1>(sums, job, y, taps.first, taps.end);
    store_all<0>(sums[0], job.to.at(y, job.x), job.to.pixel);
  }

  /// Rows y and y + kDilation: but for the first or last, a row of the plane that meets one meets the other as well.
  template <int kSize, int kDilation>
  static HWY_INLINE void convolve_two_rows(const Convolution& job, int64_t y) {
    const int64_t other = y + kDilation;
    Vec sums[2][kTile];
    load_all<0>(sums[0], job.start.at(y, job.x), job.start.pixel);
    load_all<0>(sums[1], job.start.at(other, job.x), job.start.pixel);
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

  static void convolve(const Convolution& job) {
    if constexpr (is_usual_tile(kTile)) {
      switch (unrolled_kernel(job.term.size, job.term.dilation)) {
        case Unrolled::k13x1:
          return convolve_kernel<13, 1>(job);
        case Unrolled::k5x1:
          return convolve_kernel<5, 1>(job);
        case Unrolled::k7x2:
          return convolve_kernel<7, 2>(job);
        case Unrolled::k3x3:
          return convolve_kernel<3, 3>(job);
        case Unrolled::k3x4:
          return convolve_kernel<3, 4>(job);
        case Unrolled::k3x5:
          return convolve_kernel<3, 5>(job);
        case Unrolled::kNone:
          break;
      }
    }
    convolve_any(job);
  }

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
  static void correlate(const PlaneLayout& layout, const float* values, const float* plane, int64_t size,
                        int64_t dilation, int64_t x, int64_t skip, float* sums, Fetcher& fetcher) {
    values += x * kLanes;
    plane += x * kLanes;
    if constexpr (is_usual_tile(kTile)) {
      switch (skip > 0 ? Unrolled::kNone : unrolled_kernel(size, dilation)) {
        case Unrolled::k13x1:
          return correlate_kernel<13, 1>(layout, values, plane, sums, fetcher);
        case Unrolled::k5x1:
          return correlate_kernel<5, 1>(layout, values, plane, sums, fetcher);
        case Unrolled::k7x2:
          return correlate_kernel<7, 2>(layout, values, plane, sums, fetcher);
        case Unrolled::k3x3:
          return correlate_kernel<3, 3>(layout, values, plane, sums, fetcher);
        case Unrolled::k3x4:
          return correlate_kernel<3, 4>(layout, values, plane, sums, fetcher);
        case Unrolled::k3x5:
          return correlate_kernel<3, 5>(layout, values, plane, sums, fetcher);
        case Unrolled::kNone:
          break;
      }
    }
    correlate_any(layout, values, plane, size, dilation, skip, sums, fetcher);
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
void convolve(const PlaneLayout& layout, const Term& term, const Pixels<const float>& start, const Pixels<float>& to,
              const Upcoming& upcoming) {
  Fetcher fetcher(upcoming);
  for (int64_t i = 0; i < layout.tiles; ++i) {
    functions_of(layout, i).convolve({layout, term, layout.tile_start(i), start, to, fetcher});
  }
}

/// PlaneFunctions::correlate
void correlate(const PlaneLayout& layout, const float* values, const float* plane, int64_t size, int64_t dilation,
               float* sums, const Upcoming& upcoming) {
  Fetcher fetcher(upcoming);
  for (int64_t i = 0; i < layout.tiles; ++i) {
    const int64_t x = layout.tile_start(i);
    functions_of(layout, i).correlate(layout, values, plane, size, dilation, x, i * layout.tile - x, sums, fetcher);
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
