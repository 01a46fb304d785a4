#include "unireplk/data/audio/resample.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "unireplk/core/error.h"

namespace unireplk::data::audio {
namespace {

constexpr double kZeros = 6, kRollOff = 0.99;

/// What input sample q, counted from the beginning of its period, adds to output phase p; zero outside of the window.
double coefficient(int64_t q, int64_t p, double in, double out) {
  const double band = kRollOff * std::min(in, out);
  const double t = (static_cast<double>(q) / in - static_cast<double>(p) / out) * band;
  if (std::abs(t) >= kZeros) return 0;
  const double x = std::numbers::pi * t;
  const double window = std::pow(std::cos(x / kZeros / 2), 2);
  return band / in * window * (t == 0 ? 1 : std::sin(x) / x);
}

}  // namespace

kernels::RateChange rate_change(int64_t from, int64_t to) {
  UNIREPLK_CHECK(from > 0 && to > 0, "rate_change: from {} to {} Hz", from, to);
  const int64_t divisor = std::gcd(from, to);
  const int64_t step = from / divisor, phases = to / divisor;
  const auto in = static_cast<double>(step), out = static_cast<double>(phases);
  const double reach = kZeros * in / (kRollOff * std::min(in, out));  // input samples on each side
  const auto taps = static_cast<int64_t>(2 * std::ceil(reach)) + 1;
  constexpr int64_t kMultiple = kernels::kTapsOfRateChange;
  kernels::RateChange change{.step = step, .phases = phases, .taps = (taps + kMultiple - 1) / kMultiple * kMultiple};
  for (int64_t p = 0; p < phases; ++p) {
    const auto first = static_cast<int64_t>(std::ceil(static_cast<double>(p) * in / out - reach));
    change.first.push_back(first);
    for (int64_t t = 0; t < change.taps; ++t) {
      change.weights.push_back(static_cast<float>(coefficient(first + t, p, in, out)));
    }
  }
  return change;
}

int64_t changed_length(const kernels::RateChange& change, int64_t length) {
  return (length * change.phases + change.step - 1) / change.step;
}

std::vector<float> change_rate(const kernels::RateChange& change, std::span<const float> in,
                               std::pmr::memory_resource& memory) {
  std::vector<float> out(static_cast<size_t>(changed_length(change, std::ssize(in))));
  kernels::change_rate(change, in.data(), std::ssize(in), out.data(), std::ssize(out), memory);
  return out;
}

}  // namespace unireplk::data::audio
