#include "unireplk/kernels/sound.h"

#include <algorithm>
#include <utility>

#include "unireplk/kernels/cpu/pixel_targets.h"
#include "unireplk/kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/sound.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "unireplk/kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

// Lanes are frames, so that an FFT is plain code without shuffles: the same operations, in order, for each frame.

struct Complex {
  Vec re, im;
};

/// Place i of an array of complex numbers, each two vectors.
HWY_INLINE Complex at(const float* array, int64_t i) {
  return {load(array + 2 * i * kLanes), load(array + (2 * i + 1) * kLanes)};
}
HWY_INLINE void put(Complex value, float* array, int64_t i) {
  store(value.re, array + 2 * i * kLanes);
  store(value.im, array + (2 * i + 1) * kLanes);
}

HWY_INLINE Complex sum(Complex a, Complex b) { return {hn::Add(a.re, b.re), hn::Add(a.im, b.im)}; }
HWY_INLINE Complex difference(Complex a, Complex b) { return {hn::Sub(a.re, b.re), hn::Sub(a.im, b.im)}; }
HWY_INLINE Complex quarter_turn(Complex a) { return {hn::Neg(a.im), a.re}; }  // times i
HWY_INLINE Vec power(Complex a) { return hn::MulAdd(a.re, a.re, hn::Mul(a.im, a.im)); }

/// Times turn k of the table.
HWY_INLINE Complex turned(Complex a, const float* turns, int64_t k) {
  const Vec c = all(turns[2 * k]), s = all(turns[2 * k + 1]);
  return {hn::NegMulAdd(a.im, s, hn::Mul(a.re, c)), hn::MulAdd(a.im, c, hn::Mul(a.re, s))};
}

/// The frames that begin at samples, samples + shift, ...: centred, pre-emphasised, windowed, with zeros behind.
/// \param lanes  frames there are; lanes behind repeat the last.
HWY_INLINE void take_frames(const LogMelTables& tables, const float* samples, int64_t lanes, float* to) {
  for (int64_t lane = 0; lane < kLanes; ++lane) {  // a gather instruction is slower
    const float* frame = samples + std::min(lane, lanes - 1) * tables.shift;
    for (int64_t j = 0; j < tables.frame; ++j) to[j * kLanes + lane] = frame[j];
  }
  Vec total = zero();
  for (int64_t j = 0; j < tables.frame; ++j) total = hn::Add(total, load(to + j * kLanes));
  const Vec mean = hn::Div(total, all(static_cast<float>(tables.frame)));
  Vec before = hn::Sub(load(to), mean);
  for (int64_t j = 0; j < tables.frame; ++j) {
    const Vec centred = hn::Sub(load(to + j * kLanes), mean);
    const Vec emphasised = hn::NegMulAdd(all(tables.pre_emphasis), before, centred);
    store(hn::Mul(emphasised, all(tables.window[static_cast<size_t>(j)])), to + j * kLanes);
    before = centred;
  }
  std::fill(to + tables.frame * kLanes, to + tables.fft * kLanes, 0.0F);
}

/// One pass of radix 4 over parts of n complex numbers, `stride` of them side by side (Stockham: sorts as it goes).
HWY_INLINE void pass_of_four(const float* turns, int64_t turn, int64_t n, int64_t stride, const float* from,
                             float* to) {
  const int64_t quarter = n / 4;
  for (int64_t p = 0; p < quarter; ++p) {
    for (int64_t q = 0; q < stride; ++q) {
      const Complex a = at(from, q + stride * p), b = at(from, q + stride * (p + quarter));
      const Complex c = at(from, q + stride * (p + 2 * quarter)), d = at(from, q + stride * (p + 3 * quarter));
      const Complex even = sum(a, c), odd = sum(b, d), rest = difference(a, c);
      const Complex turned_rest = quarter_turn(difference(b, d));
      put(sum(even, odd), to, q + stride * 4 * p);
      put(turned(difference(rest, turned_rest), turns, p * turn), to, q + stride * (4 * p + 1));
      put(turned(difference(even, odd), turns, 2 * p * turn), to, q + stride * (4 * p + 2));
      put(turned(sum(rest, turned_rest), turns, 3 * p * turn), to, q + stride * (4 * p + 3));
    }
  }
}

HWY_INLINE void last_pass_of_two(int64_t stride, const float* from, float* to) {
  for (int64_t q = 0; q < stride; ++q) {
    const Complex a = at(from, q), b = at(from, q + stride);
    put(sum(a, b), to, q);
    put(difference(a, b), to, q + stride);
  }
}

/// DFT of `count` complex numbers, a power of two. \return where the result lies: one of the two arrays.
HWY_INLINE float* transform(const LogMelTables& tables, int64_t count, float* from, float* other) {
  int64_t n = count, stride = 1;
  for (; n >= 4; n /= 4, stride *= 4) {
    pass_of_four(tables.turns.data(), tables.fft / n, n, stride, from, other);
    std::swap(from, other);
  }
  if (n == 2) {
    last_pass_of_two(stride, from, other);
    std::swap(from, other);
  }
  return from;
}

/// Four times the power of bins 0 .. half - 1 of a real signal, whose even samples were the real parts and whose odd
/// samples the imaginary parts of the `half` numbers that z is the DFT of.
HWY_INLINE void take_power(const LogMelTables& tables, int64_t half, const float* z, float* to) {
  const Complex first = at(z, 0);
  const Vec sum_of_all = hn::Add(first.re, first.im);
  store(hn::Mul(all(4), hn::Mul(sum_of_all, sum_of_all)), to);
  for (int64_t k = 1; k <= half / 2; ++k) {
    const Complex a = at(z, k), b = at(z, half - k);
    const Complex even{hn::Add(a.re, b.re), hn::Sub(a.im, b.im)};
    const Complex odd{hn::Add(a.im, b.im), hn::Sub(b.re, a.re)};
    const Complex moved = turned(odd, tables.turns.data(), k);
    store(power(sum(even, moved)), to + k * kLanes);
    store(power(difference(even, moved)), to + (half - k) * kLanes);
  }
}

/// \param lanes  of the vector that are frames.
HWY_INLINE void put_mel(const LogMelTables& tables, const float* power_of, int64_t lanes, float* out, int64_t row) {
  for (const MelTriangle& triangle : tables.triangles) {
    const float* weights = tables.weights.data() + triangle.weights;
    Vec energy = zero();
    for (int64_t i = 0; i < triangle.count; ++i) {
      energy = hn::MulAdd(all(weights[i]), load(power_of + (triangle.first + i) * kLanes), energy);
    }
    const Vec value = hn::Log(Floats(), hn::Max(hn::Mul(energy, all(0.25F)), all(tables.floor)));
    store_channels(value, out, lanes);
    out += row;
  }
}

void log_mel_of(const LogMelTables& tables, const float* samples, int64_t frames, float* out, int64_t row,
                std::pmr::memory_resource& memory) {
  const Scratch scratch(2 * tables.fft * kLanes * static_cast<int64_t>(sizeof(float)), memory);
  auto* first = static_cast<float*>(scratch.begin());
  float* second = first + tables.fft * kLanes;
  const int64_t half = tables.fft / 2;
  for (int64_t i = 0; i < frames; i += kLanes) {
    const int64_t lanes = std::min(kLanes, frames - i);
    take_frames(tables, samples + i * tables.shift, lanes, first);
    const float* spectrum = transform(tables, half, first, second);
    float* powers = spectrum == first ? second : first;
    take_power(tables, half, spectrum, powers);
    put_mel(tables, powers, lanes, out + i, row);
  }
}

HWY_INLINE float dot(const float* a, const float* b, int64_t count) {
  Vec total = zero();
  for (int64_t i = 0; i < count; i += kLanes) {
    total = hn::MulAdd(hn::LoadU(Floats(), a + i), hn::LoadU(Floats(), b + i), total);
  }
  return hn::GetLane(hn::SumOfLanes(Floats(), total));
}

/// \param in  with zeros on both sides.
void change_rate_of(const RateChange& change, const float* in, float* out, int64_t count) {
  for (int64_t i = 0, phase = 0; i < count; ++i) {
    out[i] =
        dot(change.weights.data() + phase * change.taps, in + change.first[static_cast<size_t>(phase)], change.taps);
    if (++phase < change.phases) continue;
    phase = 0;
    in += change.step;
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {

HWY_EXPORT(log_mel_of);
HWY_EXPORT(change_rate_of);

void log_mel(const LogMelTables& tables, const float* samples, int64_t frames, float* out, int64_t row,
             std::pmr::memory_resource& memory) {
  prepare_dispatch();
  HWY_DYNAMIC_DISPATCH(log_mel_of)(tables, samples, frames, out, row, memory);
}

void change_rate(const RateChange& change, const float* in, int64_t length, float* out, int64_t count,
                 std::pmr::memory_resource& memory) {
  prepare_dispatch();
  const auto [low, high] = std::minmax_element(change.first.begin(), change.first.end());
  const int64_t before = std::max<int64_t>(-*low, 0);
  const int64_t periods = (count + change.phases - 1) / change.phases;
  const int64_t needed = std::max(length, (periods - 1) * change.step + *high + change.taps);
  const Scratch scratch((before + needed) * static_cast<int64_t>(sizeof(float)), memory);
  auto* padded = static_cast<float*>(scratch.begin());
  std::fill_n(padded, before, 0.0F);
  std::copy_n(in, length, padded + before);
  std::fill(padded + before + length, padded + before + needed, 0.0F);
  HWY_DYNAMIC_DISPATCH(change_rate_of)(change, padded + before, out, count);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
