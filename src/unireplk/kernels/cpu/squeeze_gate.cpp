#include "unireplk/kernels/squeeze_gate.h"

#include <algorithm>
#include <cmath>

#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/squeeze_gate.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

#include "unireplk/kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

constexpr int64_t kTogether = 4;  // rows of a weight: each waits for its own last addition

template <int64_t kRows>
HWY_INLINE void multiply_rows(const float* weight, const float* x, int64_t in, const float* bias, float* to) {
  Vec sums[kRows];
  for (auto& sum : sums) sum = zero();
  for (int64_t c = 0; c < in; c += kLanes) {
    const Channels these(in, c);
    const Vec value = these.of(x);
    for (int64_t i = 0; i < kRows; ++i) sums[i] = hn::MulAdd(these.of(weight + i * in), value, sums[i]);
  }
  for (int64_t i = 0; i < kRows; ++i) to[i] = hn::GetLane(hn::SumOfLanes(Floats(), sums[i])) + bias[i];
}

/// to = weight * x + bias, of a weight [out, in].
void multiply(const float* weight, const float* x, int64_t out, int64_t in, const float* bias, float* to) {
  int64_t i = 0;
  for (; i + kTogether <= out; i += kTogether) multiply_rows<kTogether>(weight + i * in, x, in, bias + i, to + i);
  for (; i < out; ++i) multiply_rows<1>(weight + i * in, x, in, bias + i, to + i);
}

void gate_of_image(const SqueezeGate& gate, const float* means, float* inner, float* to) {
  multiply(gate.down_weight, means, gate.inner, gate.channels, gate.down_bias, inner);
  for (int64_t i = 0; i < gate.inner; ++i) inner[i] = inner[i] < 0 ? 0 : inner[i];  // not-a-number stays
  multiply(gate.up_weight, inner, gate.channels, gate.inner, gate.up_bias, to);
  for (int64_t c = 0; c < gate.channels; ++c) to[c] = 1 / (1 + std::exp(-to[c]));
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {
namespace {

HWY_EXPORT(gate_of_image);

}  // namespace

void squeeze_gate(const SqueezeGate& gate, int64_t images, const float* means, float* inner, float* to,
                  const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(gate_of_image);
  parallel.run(images, [&](int64_t image, int64_t) {
    run(gate, means + image * gate.channels, inner + image * gate.inner, to + image * gate.channels);
  });
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
