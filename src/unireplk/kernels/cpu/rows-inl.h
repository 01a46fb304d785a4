// Vectors of channels of rows that have any length. Compiled once for each instruction set: include it after
// hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_ROWS_INL_H
#undef UNIREPLK_KERNELS_CPU_ROWS_INL_H
#else
#define UNIREPLK_KERNELS_CPU_ROWS_INL_H
#endif

#include "unireplk/kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

/// Channels of a row from one on, a vector at most.
struct Channels {
  Channels(int64_t channels, int64_t first) : at(first), count(channels - first < kLanes ? channels - first : kLanes) {}

  /// Those of a row of floats or BFloat16; the vector's other lanes are 0.
  template <class Number>
  HWY_INLINE Vec of(const Number* row) const {
    return load_channels(row + at, count);
  }

  /// `value` with 0 in the other lanes.
  HWY_INLINE Vec alone(Vec value) const {
    return count == kLanes ? value : hn::IfThenElseZero(first_lanes(count), value);
  }

  template <class Number>
  HWY_INLINE void put(Vec value, Number* row) const {
    store_channels(value, row + at, count);
  }
  HWY_INLINE void add(Vec value, float* row) const { put(hn::Add(of(row), value), row); }

  int64_t at;
  int64_t count;
};

/// Call `pass` with a number of the type that a map is of.
template <class Pass>
HWY_INLINE void with_number(Element element, const Pass& pass) {
  if (element == Element::kFloat) return pass(float());
  pass(BFloat16());
}

template <class Number>
HWY_INLINE const Number* as(const MapValues& map) {
  return static_cast<const Number*>(map.values);
}

template <class Number>
HWY_INLINE Number* as(const MapMemory& map) {
  return static_cast<Number*>(map.values);
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
