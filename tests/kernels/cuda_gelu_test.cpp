#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/exact_gelu.h"
#include "support/catch.h"
#include "unireplk/kernels/cuda/gelu.h"

namespace unireplk::kernels::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Narrow {
  float size, tail, value, slope;
};

/// A device's are within 2 units of the last place of these.
float power_of_two(float x) {
  const float power = std::exp2(x);
  return power < std::numeric_limits<float>::min() ? 0 : power;
}

/// As a device has it.
Narrow narrow_at(float x) {
  const float size = std::fmin(std::fabs(x), kGeluEnd), tail = power_of_two(log2_tail(size));
  const float positive = x < 0 ? 0 : x, density = power_of_two(log2_density(x));
  return {size, tail, gelu_from(positive, size, tail), gelu_slope_from(x, size, tail, density)};
}

std::vector<float> numbers(double from, double to) {
  std::vector<float> all;
  for (double x = from; x <= to; x += 1.0 / 4096) all.push_back(static_cast<float>(x));
  return all;
}

/// What rounding changes at most: `bits` of a significand, and the smallest number that there is.
double half_unit(double value, int bits, double smallest) {
  return std::max(std::ldexp(1.0, std::ilogb(value) - bits), smallest / 2);
}

TEST_CASE("gelu of 16-bit maps: the tail is close to the normal distribution's", "[numeric]") {
  for (const float x : numbers(0, 8)) {
    const double expected = normal_below(-static_cast<double>(x)), error = std::abs(narrow_at(x).tail / expected - 1);
    CAPTURE(x);
    REQUIRE(error <= (x <= 5 ? 1.2e-5 : x <= 6 ? 2e-5 : 1e-3));
  }
}

TEST_CASE("gelu of 16-bit maps: errors are a small part of what rounding to them is", "[numeric]") {
  constexpr double kHalfBits = 11, kSmallestHalf = 6e-8, kBFloat16Bits = 8;
  for (const float x : numbers(-8, 8)) {
    const Narrow got = narrow_at(x);
    const double error = std::abs(got.value - gelu(x));
    CAPTURE(x, got.value, gelu(x));
    REQUIRE(error <= half_unit(gelu(x), kHalfBits, kSmallestHalf) / 16);
    REQUIRE(error <= half_unit(gelu(x), kBFloat16Bits, 0) / (std::abs(x) <= 7 ? 8 : 2));
    REQUIRE(std::abs(got.slope - gelu_slope(x)) <= 6e-6);
  }
}

TEST_CASE("gelu of 16-bit maps: falls to zero far out, and stays there", "[numeric]") {
  float last = -1;
  for (const float x : numbers(6, 20)) {
    const Narrow got = narrow_at(-x);
    CAPTURE(x);
    REQUIRE(got.value >= last);
    REQUIRE(got.value <= 0);
    REQUIRE(std::abs(got.slope) <= 6e-8);
    last = got.value;
  }
  for (const float x : {kGeluEnd, 200.F, 1e4F, 1e30F, kInfinity}) {
    CHECK(narrow_at(x).value == x);
    CHECK(narrow_at(x).slope == 1);
    CHECK(narrow_at(-x).value == 0);
    CHECK(narrow_at(-x).slope == 0);
  }
}

TEST_CASE("gelu of 16-bit maps: zero, and not-a-number", "[numeric]") {
  CHECK(narrow_at(0.F).value == 0);
  CHECK(narrow_at(-0.F).value == 0);
  CHECK(narrow_at(0.F).slope == Approx(0.5).epsilon(1e-5));
  CHECK(narrow_at(1e-30F).value == Approx(5e-31).epsilon(1e-4));
  const Narrow got = narrow_at(std::numeric_limits<float>::quiet_NaN());
  CHECK(std::isnan(got.value));
  CHECK(std::isnan(got.slope));
}

}  // namespace
}  // namespace unireplk::kernels::cuda
