// GELU, the exact one, of vectors. Compiled once for each instruction set: include it after hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_GELU_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_GELU_INL_H
#undef UNIREPLK_KERNELS_CPU_GELU_INL_H
#else
#define UNIREPLK_KERNELS_CPU_GELU_INL_H
#endif

#include "unireplk/kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

/// The standard normal distribution at x.
struct Normal {
  Vec below;    ///< what lies below x
  Vec density;  ///< at x
};

/// 1 / x for moderate x; division takes as long as all else here. The estimate has 11 bits, or more.
HWY_INLINE Vec reciprocal(Vec x) {
  const Vec estimate = hn::ApproximateReciprocal(x);
  return hn::MulAdd(estimate, hn::NegMulAdd(x, estimate, all(1)), estimate);
}

constexpr float kFar = 13;  // exp(-x^2 / 2) is near the end of the normal numbers

/// coefficients[kAt] + coefficients[kAt + 1] * x + ... by Horner's rule, without a loop: GCC leaves those of a few
/// rounds as they are.
template <int kAt = 0, int kCount>
HWY_INLINE Vec polynomial(const float (&coefficients)[kCount], Vec x) {
  if constexpr (kAt + 1 == kCount) {
    return all(coefficients[kAt]);
  } else {
    return hn::MulAdd(polynomial<kAt + 1>(coefficients, x), x, all(coefficients[kAt]));
  }
}

/// exp(-size^2 / 2), as a power of two, for a size up to kFar.
HWY_INLINE Vec bell_at(Vec size) {
  constexpr float kHalfLog2OfE = 0.72134752F;
  constexpr float kPowers[] = {1.00000012F, 0.693146944F, 0.240221202F, 0.0555071346F, 0.00967554096F, 0.00132764690F};
  const hn::RebindToSigned<Floats> integers;
  constexpr float kWholes = 12582912;  // 1.5 * 2^23: a sum with it is rounded to whole numbers, its last bits are they
  const Vec exponent = hn::Mul(hn::Mul(size, all(-kHalfLog2OfE)), size);
  const Vec whole = hn::Add(exponent, all(kWholes));
  const Vec rest = hn::Sub(exponent, hn::Sub(whole, all(kWholes)));
  const Vec power = polynomial(kPowers, rest);  // 2^rest, own fit on [-1/2, 1/2] for least relative error: 7.5e-8
  const auto scaled = hn::Add(hn::BitCast(integers, power), hn::ShiftLeft<23>(hn::BitCast(integers, whole)));
  return hn::BitCast(Floats(), scaled);
}

/// The tail beyond |x| is exp(-x^2 / 2) times a smooth function, here a polynomial of 1 / (1 + k |x|) without constant
/// term. Own fit for least relative error on [0, 14], which is 5.4e-8.
HWY_INLINE Normal normal_at(Vec x) {
  constexpr float kScale = 0.28F;
  constexpr float kPolynomial[] = {0.111687265F,  0.111994788F,  0.100930758F,   0.0920768231F, 0.0532637648F,
                                   0.0208404064F, 0.0697798952F, -0.0833648667F, 0.0227911975F};
  constexpr float kRootOfTwoPi = 2.50662827F;
  const Vec size = hn::Min(hn::Abs(x), all(kFar));
  const Vec t = reciprocal(hn::MulAdd(all(kScale), size, all(1)));
  const Vec ratio = polynomial(kPolynomial, t);
  const Vec bell = hn::IfThenElseZero(hn::Lt(size, all(kFar)), bell_at(size));
  const Vec tail = hn::Mul(hn::Mul(ratio, t), bell);
  return {.below = hn::IfThenElse(hn::Lt(x, hn::Zero(Floats())), tail, hn::Sub(all(1), tail)),
          .density = hn::Mul(bell, all(1 / kRootOfTwoPi))};
}

HWY_INLINE Vec gelu(Vec x) { return hn::Mul(x, normal_at(x).below); }

HWY_INLINE Vec gelu_slope(Vec x) {
  const Normal normal = normal_at(x);
  return hn::MulAdd(x, normal.density, normal.below);
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
