// Vectors of channels. Compiled once for each instruction set: include it after hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_VECTORS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_VECTORS_INL_H
#undef UNIREPLK_KERNELS_CPU_VECTORS_INL_H
#else
#define UNIREPLK_KERNELS_CPU_VECTORS_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vec = hn::Vec<Floats>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(Floats()));

HWY_INLINE Vec load(const float* from) { return hn::Load(Floats(), from); }
HWY_INLINE void store(Vec value, float* to) { hn::Store(value, Floats(), to); }
HWY_INLINE Vec zero() { return hn::Zero(Floats()); }
HWY_INLINE Vec all(float value) { return hn::Set(Floats(), value); }

HWY_INLINE auto first_lanes(int64_t count) { return hn::FirstN(Floats(), static_cast<size_t>(count)); }

/// `count` of a vector's channels, at any address; the others become 0.
HWY_INLINE Vec load_channels(const float* from, int64_t count) {
  if (count == kLanes) return hn::LoadU(Floats(), from);
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = from[i];
  return load(lanes);
#else
  return hn::MaskedLoad(first_lanes(count), Floats(), from);
#endif
}

HWY_INLINE void store_channels(Vec value, float* to, int64_t count) {
  if (count == kLanes) return hn::StoreU(value, Floats(), to);
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float lanes[kLanes];
  store(value, lanes);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
#else
  hn::BlendedStore(value, first_lanes(count), Floats(), to);
#endif
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
