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

  SqueezeGate gate() const {
    return {.channels = channels,
            .inner = inner,
            .down_weight = down_weight.data(),
            .down_bias = down_bias.data(),
            .up_weight = up_weight.data(),
            .up_bias = up_bias.data()};
  }

  int64_t images, channels, inner;
  std::vector<float> means, down_weight, down_bias, up_weight, up_bias;
};

constexpr int64_t kSummedPixels = 4;  // sums are means four times then, to the bit

struct GateResults {
  std::vector<float> means, inner, gate;
};

GateResults run(const GateInputs& in, const Parallel& parallel) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  GateResults out{.means = in.means,
                  .inner = std::vector<float>(static_cast<size_t>(in.images * in.inner), nan),
                  .gate = std::vector<float>(in.means.size(), nan)};
  for (auto& mean : out.means) mean *= kSummedPixels;
  squeeze_gate(in.gate(), in.images, kSummedPixels, out.means.data(), out.inner.data(), out.gate.data(), parallel);
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
  CHECK(got.means == in.means);
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

struct GateGradients {
  std::vector<float> shift, down_weight, down_bias, up_weight, up_bias;
};

GateGradients run_backward(const GateInputs& in, const GateResults& values, const Parallel& parallel) {
  const auto products = filled<float>(in.images * in.channels, Filling::kNormal, 6);
  const auto unset = [](const std::vector<float>& like) {
    return std::vector<float>(like.size(), std::numeric_limits<float>::quiet_NaN());
  };
  GateGradients out{.shift = unset(in.means),
                    .down_weight = unset(in.down_weight),
                    .down_bias = unset(in.down_bias),
                    .up_weight = unset(in.up_weight),
                    .up_bias = unset(in.up_bias)};
  const SqueezeValues kept{.means = values.means.data(), .inner = values.inner.data(), .gate = values.gate.data()};
  Space space(squeeze_gate_workspace(in.gate(), in.images));
  squeeze_gate_backward(in.gate(), in.images, kSummedPixels, kept, products.data(),
                        {.shift = out.shift.data(),
                         .down_weight = out.down_weight.data(),
                         .down_bias = out.down_bias.data(),
                         .up_weight = out.up_weight.data(),
                         .up_bias = out.up_bias.data()},
                        space.span(), parallel);
  return out;
}

TEST_CASE("squeeze_gate_backward: equals plain loops in float64", "[numeric]") {
  const Forced isa(GENERATE(from_range(instruction_sets())));
  const auto [images, channels, inner] = GENERATE(table<int64_t, int64_t, int64_t>(
      {{1, 4, 1}, {2, 40, 10}, {3, 17, 5}, {9, 160, 40}, {2, 33, 31}, {5, 1, 1}, {2, 3, 0}, {70, 67, 19}, {0, 8, 2}}));
  CAPTURE(images, channels, inner);
  const GateInputs in(images, channels, inner);
  const auto values = run(in, Parallel());
  const auto got = run_backward(in, values, Parallel());
  const auto products = filled<float>(images * channels, Filling::kNormal, 6);
  const auto zeros = [](const std::vector<float>& like) { return std::vector<double>(like.size()); };
  auto shift = zeros(in.means), down_weight = zeros(in.down_weight), down_bias = zeros(in.down_bias),
       up_weight = zeros(in.up_weight), up_bias = zeros(in.up_bias);
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t i = 0; i < inner; ++i) {
      const auto at_inner = static_cast<size_t>(n * inner + i);
      double of_inner = 0;
      for (int64_t c = 0; c < channels; ++c) {
        const auto at = static_cast<size_t>(n * channels + c), of_weight = static_cast<size_t>(c * inner + i);
        const double gate = values.gate[at], of_up = products[at] * gate * (1 - gate);
        of_inner += of_up * in.up_weight[of_weight];
        up_weight[of_weight] += of_up * values.inner[at_inner];
      }
      if (!(values.inner[at_inner] > 0)) of_inner = 0;
      down_bias[static_cast<size_t>(i)] += of_inner;
      for (int64_t c = 0; c < channels; ++c) {
        const auto at = static_cast<size_t>(n * channels + c), of_weight = static_cast<size_t>(i * channels + c);
        down_weight[of_weight] += of_inner * values.means[at];
        shift[at] += of_inner * in.down_weight[of_weight] / kSummedPixels;
      }
    }
    for (int64_t c = 0; c < channels; ++c) {
      const auto at = static_cast<size_t>(n * channels + c);
      const double gate = values.gate[at];
      up_bias[static_cast<size_t>(c)] += products[at] * gate * (1 - gate);
    }
  }
  CHECK(relative_error(got.shift, shift) <= 1e-5);
  CHECK(relative_error(got.down_weight, down_weight) <= 1e-5);
  CHECK(relative_error(got.down_bias, down_bias) <= 1e-5);
  CHECK(relative_error(got.up_weight, up_weight) <= 1e-5);
  CHECK(relative_error(got.up_bias, up_bias) <= 1e-5);
}

TEST_CASE("squeeze_gate_backward: the same bits for any number of threads", "[numeric]") {
  const GateInputs in(5, 83, 21);
  const auto values = run(in, Parallel());
  const auto one = run_backward(in, values, Parallel()), three = run_backward(in, values, threads(3));
  CHECK(one.shift == three.shift);
  CHECK(one.down_weight == three.down_weight);
  CHECK(one.down_bias == three.down_bias);
  CHECK(one.up_weight == three.up_weight);
  CHECK(one.up_bias == three.up_bias);
}

}  // namespace
}  // namespace unireplk::kernels
