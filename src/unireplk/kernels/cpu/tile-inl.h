// What convolutions and correlations of a plane share: the columns of a tile, and the instructions they are made of.
// Compiled once for each instruction set: include it after hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_TILE_INL_H
#undef UNIREPLK_KERNELS_CPU_TILE_INL_H
#else
#define UNIREPLK_KERNELS_CPU_TILE_INL_H
#endif

#include <utility>

#include "unireplk/kernels/cpu/channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

/// Of the kernel rows with their middle at a row of the map, those that meet the map: first .. end - 1.
struct TapRows {
  HWY_INLINE TapRows(int64_t y, int64_t size, int64_t dilation, int64_t height)
      : first(most(0, size / 2 - y / dilation)), end(least(size, size / 2 + (height - 1 - y) / dilation + 1)) {}

  int64_t first, end;
};

/// A kernel known at compile time.
template <int kSizeOf, int kDilationOf>
struct KnownKernel {
  static constexpr int kSize = kSizeOf, kDilation = kDilationOf;
};

/// Call visit(KnownKernel) if the kernel is one whose rows are unrolled: those of a 13 x 13 block, the only large one
/// of published networks. Others take a jump for every tap. \return  whether it is.
template <class Visit>
HWY_INLINE bool visit_unrolled(int64_t size, int64_t dilation, const Visit& visit) {
  if (size == 13 && dilation == 1) return visit(KnownKernel<13, 1>()), true;
  if (size == 5 && dilation == 1) return visit(KnownKernel<5, 1>()), true;
  if (size == 7 && dilation == 2) return visit(KnownKernel<7, 2>()), true;
  if (size == 3 && dilation == 3) return visit(KnownKernel<3, 3>()), true;
  if (size == 3 && dilation == 4) return visit(KnownKernel<3, 4>()), true;
  if (size == 3 && dilation == 5) return visit(KnownKernel<3, 5>()), true;
  return false;
}

/// Tiles that the maps of 224 and 384 pixel images are cut into, and whose code is worth its size.
constexpr bool is_usual_tile(int columns) { return kLanes > 1 && (columns == 7 || columns == 12 || columns == 14); }

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
    constexpr int64_t kSome = kLanes < kMaxLanes ? 2 : 4;  // all of them during one convolution with a large kernel
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

template <int... kIndices>
using Indices = std::integer_sequence<int, kIndices...>;

/// 0 .. kCount - 1
template <int kCount>
using FirstIndices = std::make_integer_sequence<int, kCount>;

/// Expands CASE for each offset of a tap that the columns of a tile may meet.
// clang-format off
#define UNIREPLK_OFFSETS(CASE) \
  CASE(-13) CASE(-12) CASE(-11) CASE(-10) CASE(-9) CASE(-8) CASE(-7) CASE(-6) CASE(-5) CASE(-4) CASE(-3) CASE(-2) \
  CASE(-1) CASE(0) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) \
  CASE(13)
// clang-format on

/// The columns of one tile, of kImages maps side by side. At a closed end the map ends with the tile, at an open one it
/// goes on for at least the reach of the kernel.
template <int kTile, bool kClosedLeft, bool kClosedRight, int kImages>
struct TileColumns {
  static constexpr bool kOpen = !kClosedLeft && !kClosedRight;
  static constexpr int kWidth = kTile / kImages;  ///< of one map
  static_assert(kImages == 1 || (kClosedLeft && kClosedRight && kTile % kImages == 0));

  /// Columns of the first map whose neighbour at `offset` lies inside it.
  static constexpr int first_column(int offset) { return kClosedLeft && offset < 0 ? -offset : 0; }
  static constexpr int end_column(int offset) { return kClosedRight && offset > 0 ? kWidth - offset : kWidth; }

  /// Whether the neighbour at `offset` of a column lies inside the column's map.
  static constexpr bool is_inside(int column, int offset) {
    return column % kWidth >= first_column(offset) && column % kWidth < end_column(offset);
  }

  /// Whether that of any column does.
  static constexpr bool meets_map(int offset) { return first_column(offset) < end_column(offset); }
};

/// Tiles of rows that take more than one are wider than half of the largest (PlaneLayout).
constexpr int kLeastOpenTile = 8;

template <template <int, bool, bool, int> class TileOf, int kTile>
auto run_of(bool closed_left, bool closed_right) {
  using Run = decltype(&TileOf<1, true, true, 1>::run);
  if (closed_left && closed_right) return Run(&TileOf<kTile, true, true, 1>::run);
  if constexpr (kTile >= kLeastOpenTile) {
    if (closed_left) return Run(&TileOf<kTile, true, false, 1>::run);
    if (closed_right) return Run(&TileOf<kTile, false, true, 1>::run);
    return Run(&TileOf<kTile, false, false, 1>::run);
  }
  return Run(nullptr);
}

/// TileOf<columns, closed left, closed right, images>::run for one tile of a row.
template <template <int, bool, bool, int> class TileOf>
auto run_of(const PlaneLayout& layout, int64_t tile) {
  using Choose = decltype(&run_of<TileOf, 1>);
  static constexpr Choose kChoose[kMaxTile] = {
      run_of<TileOf, 1>,  run_of<TileOf, 2>,  run_of<TileOf, 3>,  run_of<TileOf, 4>, run_of<TileOf, 5>,
      run_of<TileOf, 6>,  run_of<TileOf, 7>,  run_of<TileOf, 8>,  run_of<TileOf, 9>, run_of<TileOf, 10>,
      run_of<TileOf, 11>, run_of<TileOf, 12>, run_of<TileOf, 13>, run_of<TileOf, 14>};
  if (layout.images == 2) return &TileOf<2 * kPairWidth, true, true, 2>::run;
  return kChoose[layout.tile - 1](layout.is_left_end(tile), layout.is_right_end(tile));
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
