#pragma once

/// GELU of maps in 16 bits, by powers of two. Plain numbers, so that the host can check them.
///
/// With tail(s) for what the standard normal distribution has beyond s >= 0, gelu(x) = max(x, 0) - |x| tail(|x|), and
/// the logarithm of the tail is smooth: a polynomial. Own fit for least error, relative to the tail: 1e-5 up to 5,
/// where gelu(-5) is already -1.4e-6, and growing from there, 1e-3 at 8. Rounding to fp16 changes a
/// value by up to 4.9e-4 of it, to bf16 by up to 3.9e-3.
namespace unireplk::kernels::cuda {

inline constexpr float kGeluEnd = 14.F;  ///< where 2^log2_tail() is 0 in float32

/// \param size  0 to kGeluEnd
constexpr float log2_tail(float size) {
  constexpr float kPowers[] = {-1.00001287F,   -1.15104997F,     -0.458935678F,   -0.0535211898F,
                               0.00830865279F, -0.000883586821F, 5.60866247e-05F, -1.57999807e-06F};
  float sum = kPowers[7];
  for (int i = 6; i >= 0; --i) sum = sum * size + kPowers[i];
  return sum;
}

/// The same of the density at x.
constexpr float log2_density(float x) {
  constexpr float kHalfLog2OfE = 0.72134752F, kAtZero = -1.32574806F;
  return (x * -kHalfLog2OfE) * x + kAtZero;
}

/// \param size      |x|, or kGeluEnd where that is less
/// \param positive  max(x, 0); not-a-number stays
constexpr float gelu_from(float positive, float size, float tail) { return positive - size * tail; }

/// The derivative of gelu() at x.
constexpr float gelu_slope_from(float x, float size, float tail, float density) {
  const float below = tail - size * density;  // at -size
  return x > 0.F ? 1.F - below : below;
}

}  // namespace unireplk::kernels::cuda
