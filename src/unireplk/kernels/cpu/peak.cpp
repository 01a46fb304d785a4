#include "unireplk/kernels/peak.h"

#include <algorithm>

#include "unireplk/core/clock.h"
#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/peak.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int kChains = 12;  // more than latency times units asks for, and few enough for 16 registers

template <int kChain, class Vec>
HWY_INLINE void step(Vec (&values)[kChains], Vec factor, Vec term) {
  if constexpr (kChain < kChains) {
    values[kChain] = hn::MulAdd(values[kChain], factor, term);
    step<kChain + 1>(values, factor, term);
  }
}

/// \return floating point operations done; `result` keeps them from being left out.
double multiply_add(int64_t steps, float* result) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  Vec values[kChains];
  for (auto& value : values) value = hn::Set(d, *result);
  const Vec factor = hn::Set(d, 0.999F), term = hn::Set(d, 0.001F);
  for (int64_t i = 0; i < steps; ++i) step<0>(values, factor, term);
  Vec sum = values[0];
  for (int i = 1; i < kChains; ++i) sum = hn::Add(sum, values[i]);
  *result = hn::GetLane(sum);
  return 2.0 * kChains * static_cast<double>(steps) * static_cast<double>(hn::Lanes(d));
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {

HWY_EXPORT(multiply_add);

double measure_fma_peak() {
  prepare_dispatch();
  volatile float start = 1;
  float value = start;
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const Stopwatch clock;
    const double done = HWY_DYNAMIC_DISPATCH(multiply_add)(200000, &value);
    best = std::max(best, done / clock.seconds() * 1e-9);
  }
  start = value;
  return best;
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
