// Vectors of channels. Compiled once for each instruction set: include it after hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_VECTORS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_VECTORS_INL_H
#undef UNIREPLK_KERNELS_CPU_VECTORS_INL_H
#else
#define UNIREPLK_KERNELS_CPU_VECTORS_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "unireplk/kernels/map_values.h"

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

using Halves = hn::Rebind<uint16_t, Floats>;  ///< the upper ones of as many floats

HWY_INLINE Vec widened(hn::Vec<Halves> upper) {
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(hn::RebindToUnsigned<Floats>(), upper)));
}

/// To the nearest one, to the even one of two. Highway's own conversion truncates; the instruction for it makes zeros
/// of the smallest numbers.
HWY_INLINE hn::Vec<Halves> narrowed(Vec value) {
  const hn::RebindToUnsigned<Floats> words;
  constexpr uint32_t kHalf = 0x7FFF, kQuiet = 0x400000;  // of a NaN whose lower half is all there is
  const auto bits = hn::BitCast(words, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(words, kHalf)), odd);
  const auto kept = hn::Or(bits, hn::Set(words, kQuiet));
  const auto either = hn::IfThenElse(hn::RebindMask(words, hn::IsNaN(value)), kept, rounded);
  return hn::DemoteTo(Halves(), hn::BitCast(hn::RebindToSigned<Floats>(), hn::ShiftRight<16>(either)));
}

HWY_INLINE Vec load_channels(const BFloat16* from, int64_t count) {
  const auto* upper = reinterpret_cast<const uint16_t*>(from);
  if (count == kLanes) return widened(hn::LoadU(Halves(), upper));
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN uint16_t lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = upper[i];
  return widened(hn::Load(Halves(), lanes));
#else
  return widened(hn::MaskedLoad(hn::FirstN(Halves(), static_cast<size_t>(count)), Halves(), upper));
#endif
}

HWY_INLINE void store_channels(Vec value, BFloat16* to, int64_t count) {
  auto* upper = reinterpret_cast<uint16_t*>(to);
  if (count == kLanes) return hn::StoreU(narrowed(value), Halves(), upper);
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN uint16_t lanes[kLanes];
  hn::Store(narrowed(value), Halves(), lanes);
  for (int64_t i = 0; i < count; ++i) upper[i] = lanes[i];
#else
  hn::BlendedStore(narrowed(value), hn::FirstN(Halves(), static_cast<size_t>(count)), Halves(), upper);
#endif
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
