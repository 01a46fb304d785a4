#include "unireplk/data/audio/resample.h"

#include <algorithm>

#include "data_audio/sounds.h"
#include "kernels/forced.h"
#include "support/catch.h"

namespace unireplk::data::audio {
namespace {

std::vector<float> sine(double hz, int64_t rate, int64_t length) {
  std::vector<float> x;
  for (int64_t i = 0; i < length; ++i) {
    x.push_back(
        static_cast<float>(std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / static_cast<double>(rate))));
  }
  return x;
}

/// spec/audio.md section 2.5, tap by tap.
double by_definition(const std::vector<float>& x, int64_t o, int64_t n, int64_t out) {
  const double b = 0.99 * static_cast<double>(std::min(o, n));
  const auto w = static_cast<int64_t>(std::ceil(6 * static_cast<double>(o) / b));
  const int64_t m = out / n, p = out % n;
  double sum = 0;
  for (int64_t q = -w; q <= w + o - 1; ++q) {
    const int64_t from = m * o + q;
    if (from < 0 || from >= std::ssize(x)) continue;
    const double t = std::clamp(
        (static_cast<double>(q) / static_cast<double>(o) - static_cast<double>(p) / static_cast<double>(n)) * b, -6.0,
        6.0);
    const double pi_t = std::numbers::pi * t;
    const double sinc = t == 0 ? 1 : std::sin(pi_t) / pi_t;
    sum += b / static_cast<double>(o) * std::pow(std::cos(pi_t / 12), 2) * sinc * x[static_cast<size_t>(from)];
  }
  return sum;
}

TEST_CASE("change_rate: as it is defined, at the ends too, with every instruction set", "[numeric]") {
  const kernels::Forced forced(GENERATE(from_range(kernels::instruction_sets())));
  const auto [from, to] = GENERATE(table<int64_t, int64_t>({{44100, 16000}, {48000, 16000}, {8000, 16000}, {3, 2}}));
  CAPTURE(from, to);
  const auto change = rate_change(from, to);
  auto x = test::spec_waveform();
  x.resize(GENERATE(1, 2, 441, 1000));
  const auto y = change_rate(change, x, test::memory());
  REQUIRE(std::ssize(y) == (std::ssize(x) * change.phases + change.step - 1) / change.step);
  for (int64_t i = 0; i < std::ssize(y); ++i) {
    REQUIRE(y[static_cast<size_t>(i)] == Approx(by_definition(x, change.step, change.phases, i)).margin(2e-6));
  }
}

TEST_CASE("change_rate: a tone of 1 kHz comes out as it is", "[numeric]") {
  const auto change = rate_change(44100, 16000);
  CHECK((change.step == 441 && change.phases == 160));
  const auto y = change_rate(change, sine(1000, 44100, 44100), test::memory());
  const auto expected = sine(1000, 16000, 16000);
  REQUIRE(y.size() == expected.size());
  for (size_t i = 100; i + 100 < y.size(); ++i) REQUIRE(std::abs(y[i] - expected[i]) < 5e-4);
}

}  // namespace
}  // namespace unireplk::data::audio
