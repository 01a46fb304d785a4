// Vectors of channels of rows that have any length. Compiled once for each instruction set: include it after
// hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_ROWS_INL_H
#undef UNIREPLK_KERNELS_CPU_ROWS_INL_H
#else
#define UNIREPLK_KERNELS_CPU_ROWS_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vec = hn::Vec<Floats>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(Floats()));

HWY_INLINE Vec all(float value) { return hn::Set(Floats(), value); }

/// Channels of a row from one on, a vector at most.
struct Channels {
  Channels(int64_t channels, int64_t first) : at(first), count(channels - first < kLanes ? channels - first : kLanes) {}

  /// Those of a row; the vector's other lanes are 0.
  HWY_INLINE Vec of(const float* row) const {
    if (count == kLanes) return hn::LoadU(Floats(), row + at);
    HWY_ALIGN float lanes[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i] = row[at + i];
    return hn::Load(Floats(), lanes);
  }

  /// `value` with 0 in the other lanes.
  HWY_INLINE Vec alone(Vec value) const {
    return count == kLanes ? value : hn::IfThenElseZero(hn::FirstN(Floats(), static_cast<size_t>(count)), value);
  }

  HWY_INLINE void put(Vec value, float* row) const {
    if (count == kLanes) return hn::StoreU(value, Floats(), row + at);
    HWY_ALIGN float lanes[kLanes];
    hn::Store(value, Floats(), lanes);
    for (int64_t i = 0; i < count; ++i) row[at + i] = lanes[i];
  }

  HWY_INLINE void add(Vec value, float* row) const { put(hn::Add(of(row), value), row); }

  int64_t at;
  int64_t count;
};

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
