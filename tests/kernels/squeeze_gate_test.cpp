#include "unireplk/kernels/squeeze_gate.h"

#include <cmath>
#include <limits>

#include "kernels/forced.h"
#include "kernels/maps.h"
#include "support/catch.h"
#include "unireplk/kernels/instruction_set.h"

namespace unireplk::kernels {
namespace {

struct GateInputs {
  GateInputs(int64_t of_images, int64_t of_channels, int64_t of_inner)
      : images(of_images),
        channels(of_channels),
        inner(of_inner),
        means(filled<float>(images * channels, Filling::kNormal, 1)),
        down_weight(filled<float>(inner * channels, Filling::kNormal, 2)),
        down_bias(filled<float>(inner, Filling::kNormal, 3)),
        up_weight(filled<float>(channels * inner, Filling::kNormal, 4)),
        up_bias(filled<float>(channels, Filling::kNormal, 5)) {}

  int64_t images, channels, inner;
  std::vector<float> means, down_weight, down_bias, up_weight, up_bias;
};

struct GateResults {
  std::vector<float> inner, gate;
};

GateResults run(const GateInputs& in, const Parallel& parallel) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  GateResults out{std::vector<float>(static_cast<size_t>(in.images * in.inner), nan),
                  std::vector<float>(in.means.size(), nan)};
  squeeze_gate({.channels = in.channels,
                .inner = in.inner,
                .down_weight = in.down_weight.data(),
                .down_bias = in.down_bias.data(),
                .up_weight = in.up_weight.data(),
                .up_bias = in.up_bias.data()},
               in.images, in.means.data(), out.inner.data(), out.gate.data(), parallel);
  return out;
}

/// One row of weight * x + bias.
double row(const std::vector<float>& weight, const float* x, int64_t i, int64_t in, const std::vector<float>& bias) {
  double sum = bias[static_cast<size_t>(i)];
  for (int64_t c = 0; c < in; ++c) sum += static_cast<double>(weight[static_cast<size_t>(i * in + c)]) * x[c];
  return sum;
}

TEST_CASE("squeeze_gate: equals plain loops in float64", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const auto [images, channels, inner] = GENERATE(
      table<int64_t, int64_t, int64_t>({{1, 4, 1}, {2, 40, 10}, {3, 17, 5}, {1, 160, 40}, {2, 33, 31}, {0, 8, 2}}));
  CAPTURE(images, channels, inner);
  const GateInputs in(images, channels, inner);
  const auto got = run(in, Parallel());
  for (int64_t n = 0; n < images; ++n) {
    const float *means = in.means.data() + n * channels, *hidden = got.inner.data() + n * inner;
    for (int64_t i = 0; i < inner; ++i) {
      const double expected = std::max(0.0, row(in.down_weight, means, i, channels, in.down_bias));
      CHECK(hidden[i] == Approx(expected).epsilon(1e-5).margin(1e-4));
    }
    for (int64_t c = 0; c < channels; ++c) {
      const double expected = 1 / (1 + std::exp(-row(in.up_weight, hidden, c, inner, in.up_bias)));
      CHECK(got.gate[static_cast<size_t>(n * channels + c)] == Approx(expected).epsilon(1e-4).margin(1e-6));
    }
  }
}

TEST_CASE("squeeze_gate: not-a-number stays in its image, ends of the sigmoid, any number of threads", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  GateInputs in(3, 20, 5);
  in.means[20] = std::numeric_limits<float>::quiet_NaN();
  in.up_bias[0] = 1e30F;
  in.up_bias[1] = -1e30F;
  const auto one = run(in, Parallel()), three = run(in, threads(3));
  CHECK(one.gate[0] == 1);
  CHECK(one.gate[1] == 0);
  CHECK(std::isnan(one.gate[22]));
  for (size_t c = 0; c < 20; ++c) {
    CHECK(std::isfinite(one.gate[c]));
    CHECK(one.gate[c] == three.gate[c]);
    CHECK(one.gate[40 + c] == three.gate[40 + c]);
  }
}

}  // namespace
}  // namespace unireplk::kernels
