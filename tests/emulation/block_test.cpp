#include "unireplk/kernels/cuda/block.h"

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <random>

#include "emulation/block_judge.h"
#include "emulation/device.h"
#include "emulation/guarded.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/kernels/cuda/branches.cuh"

namespace unireplk::emulation {
namespace {

using namespace kernels::cuda;

struct Case {
  int images, height, width, channels;
  double mean;  // of x
};

/// Maps with and without second moments, rows of 16 and of 32 columns, one image, more than 16, and a mean far from 0.
const std::initializer_list<Case> kCases = {
    {3, 7, 7, 8, 0},   {20, 7, 7, 16, 1},  {1, 7, 8, 8, 0},    {3, 9, 7, 16, 0},  {3, 10, 10, 8, 0}, {1, 12, 12, 8, 0},
    {1, 13, 31, 8, 1}, {3, 14, 14, 16, 0}, {20, 14, 14, 8, 3}, {3, 24, 12, 8, 0}, {1, 28, 28, 8, 0}};

class Numbers {
 public:
  std::vector<float> normal(int64_t count, double mean, double deviation) {
    std::vector<float> values(static_cast<size_t>(count));
    for (auto& value : values) value = static_cast<float>(mean + deviation * normal_(bits_));
    return values;
  }

  /// As maps of type T hold them.
  template <class T>
  std::vector<double> held(int64_t count, double mean) {
    std::vector<double> values;
    for (const float value : normal(count, mean, 1)) values.push_back(to_float(from_float<T>(value)));
    return values;
  }

 private:
  std::mt19937 bits_{1};
  std::normal_distribution<double> normal_;
};

template <class T>
BlockInputs inputs_of(const Case& of) {
  Numbers numbers;
  const int64_t channels = of.channels, values = int64_t{of.images} * of.height * of.width * channels;
  return {.images = of.images,
          .height = of.height,
          .width = of.width,
          .channels = of.channels,
          .x = numbers.held<T>(values, of.mean),
          .dy = numbers.held<T>(values, 0),
          .weights = numbers.normal(kAllTaps * channels, 0, 0.1),
          .gammas = numbers.normal(kBranches * channels, 1, 0.3),
          .betas = numbers.normal(kBranches * channels, 0, 0.3),
          .gamma = numbers.normal(channels, 1, 0.3),
          .beta = numbers.normal(channels, 0, 0.3)};
}

kernels::BlockShape shape_of(const BlockInputs& in) {
  kernels::BlockShape shape{.map = {in.images, in.height, in.width, in.channels}, .branches = {}, .eps = kEps};
  for (int b = 0; b < kBranches; ++b) shape.branches.push_back({branch_size(b), branch_dilation(b)});
  return shape;
}

kernels::BlockWeights weights_of(const BlockInputs& in) {
  kernels::BlockWeights weights{.branches = {}, .gamma = in.gamma.data(), .beta = in.beta.data()};
  for (int b = 0; b < kBranches; ++b) {
    weights.branches.push_back({in.weights.data() + start_of_weights(b, in.channels),
                                in.gammas.data() + b * in.channels, in.betas.data() + b * in.channels});
  }
  return weights;
}

template <class T>
std::vector<double> widened(const Guarded<T>& values) {
  std::vector<double> wide;
  for (size_t i = 0; i < values.size(); ++i) wide.push_back(to_float(values.data()[i]));
  return wide;
}

/// What a block reads and writes on a device, forward and backward.
template <class T>
class Run {
 public:
  Run(Element element, const BlockInputs& in)
      : element_(element),
        channels_(in.channels),
        shape_(shape_of(in)),
        plan_(plan_block(element, shape_)),
        weights_(weights_of(in)),
        x_(in.x),
        dy_(in.dy),
        y(static_cast<int64_t>(in.x.size())),
        dx(static_cast<int64_t>(in.x.size())),
        outer(2 * channels_),
        gammas(kBranches * channels_),
        weights(static_cast<int64_t>(in.weights.size())),
        running(2 * (kBranches + 1) * channels_),
        moments(plan_.moments * channels_),
        forward_workspace_(plan_.forward_bytes),
        backward_workspace_(plan_.backward_bytes) {}

  void forward() {
    for (size_t i = 0; i < running.size(); ++i) {
      running.data()[i] = static_cast<float>(i / static_cast<size_t>(channels_) % 2);
    }
    kernels::RunningStatistics statistics{.branches = {}, .outer = norm_of(kBranches), .momentum = kMomentum};
    for (int b = 0; b < kBranches; ++b) statistics.branches.push_back(norm_of(b));
    forward_workspace_.poison();
    block_forward(plan_, element_, shape_, weights_, &statistics, x_.data(), y.data(), moments.data(),
                  forward_workspace_.data(), nullptr);
  }

  void backward() {
    kernels::BlockGradients gradients{
        .branches = {}, .gamma = outer.data(), .beta = outer.data() + channels_, .x = nullptr};
    for (int b = 0; b < kBranches; ++b) {
      gradients.branches.push_back(
          {weights.data() + start_of_weights(b, static_cast<int>(channels_)), gammas.data() + b * channels_});
    }
    backward_workspace_.poison();
    block_backward(plan_, element_, shape_, weights_, moments.data(), x_.data(), dy_.data(), gradients, dx.data(),
                   backward_workspace_.data(), nullptr);
  }

  bool has_second_moments() const { return plan_.has_second_moments; }

  bool is_intact() const {
    return x_.is_intact() && dy_.is_intact() && y.is_intact() && dx.is_intact() && outer.is_intact() &&
           gammas.is_intact() && weights.is_intact() && running.is_intact() && moments.is_intact() &&
           forward_workspace_.is_intact() && backward_workspace_.is_intact();
  }

 private:
  kernels::RunningNorm norm_of(int row) {
    float* const mean = running.data() + 2 * row * channels_;
    return {.mean = mean, .variance = mean + channels_};
  }

  Element element_;
  int64_t channels_;
  kernels::BlockShape shape_;
  BlockPlan plan_;
  kernels::BlockWeights weights_;
  Guarded<T> x_, dy_;

 public:
  Guarded<T> y, dx;
  Guarded<float> outer, gammas, weights, running, moments;

 private:
  Guarded<char> forward_workspace_, backward_workspace_;
};

/// Root mean square, relative. Not a number if one value is none.
double difference(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  double error = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - expected[i]) * (got[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(error / norm);
}

struct Tolerances {
  double map, weights, rest;
};

template <class T>
Tolerances tolerances(bool has_second_moments) {
  if (std::is_same_v<T, float>) {
    return {test::kEmulatedMapF32, test::kEmulatedParametersF32, test::kEmulatedParametersF32};
  }
  const double map = std::is_same_v<T, Half> ? test::kEmulatedMapF16 : test::kEmulatedMapBF16;
  return {map, has_second_moments ? test::kEmulatedSecondMoments : map, test::kEmulatedParametersF32};
}

template <class T>
void check_against_judge(Element element) {
  for (const auto& of : kCases) {
    const auto in = inputs_of<T>(of);
    const auto expected = judge_block(in);
    Run<T> run(element, in);
    run.forward();
    run.backward();
    const auto tolerance = tolerances<T>(run.has_second_moments());
    INFO(of.images << " x " << of.height << " x " << of.width << " x " << of.channels << ", mean " << of.mean
                   << (run.has_second_moments() ? ", second moments" : ""));
    CHECK(run.is_intact());
    CHECK(difference(widened(run.y), expected.y) < tolerance.map);
    CHECK(difference(widened(run.dx), expected.dx) < tolerance.map);
    CHECK(difference(widened(run.weights), expected.weights) < tolerance.weights);
    CHECK(difference(widened(run.outer), expected.outer) < tolerance.rest);
    CHECK(difference(widened(run.gammas), expected.gammas) < tolerance.rest);
    CHECK(difference(widened(run.running), expected.running) < tolerance.rest);
  }
}

class Turned {
 public:
  Turned() { set_order(Order::kLastToFirst); }
  ~Turned() { set_order(Order::kFirstToLast); }
};

template <class T>
bool are_same(const Guarded<T>& a, const Guarded<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
void check_orders(Element element) {
  for (const Case& of : {Case{3, 7, 8, 8, 0}, Case{3, 10, 10, 8, 0}, Case{3, 14, 14, 8, 0}, Case{1, 13, 31, 8, 1}}) {
    const auto in = inputs_of<T>(of);
    Run<T> one(element, in), other(element, in);
    one.forward();
    one.backward();
    {
      const Turned turned;
      other.forward();
      other.backward();
    }
    INFO(of.height << " x " << of.width);
    CHECK(are_same(one.y, other.y));
    CHECK(are_same(one.dx, other.dx));
    CHECK(are_same(one.outer, other.outer));
    CHECK(are_same(one.gammas, other.gammas));
    CHECK(are_same(one.weights, other.weights));
    CHECK(are_same(one.running, other.running));
    CHECK(are_same(one.moments, other.moments));
  }
}

template <class T>
double as_held(double value) {
  return to_float(from_float<T>(static_cast<float>(value)));
}

/// Kernels that are little but their tap in the middle: the mean of x is that of branches, and their variance that of
/// x.
void narrow_kernels(BlockInputs& in) {
  for (int b = 0; b < kBranches; ++b) {
    const int taps = branch_size(b) * branch_size(b);
    for (int i = 0; i < taps * in.channels; ++i) {
      float& weight = in.weights[static_cast<size_t>(start_of_weights(b, in.channels) + i)];
      weight = i % taps == taps / 2 ? 1 + weight : 1e-3F * weight;
    }
  }
}

/// Second moments of x are 10,000 times its variance here. A graph of parts keeps branches in the map's type, which
/// costs it more.
template <class T>
void check_far_mean(Element element, const Case& of, bool is_narrow) {
  auto in = inputs_of<T>(of);
  if (is_narrow) narrow_kernels(in);
  const auto expected = judge_block(in), of_parts = judge_block(in, as_held<T>);
  Run<T> run(element, in);
  run.forward();
  run.backward();
  REQUIRE(run.has_second_moments());
  INFO(of.images << " x " << of.height << " x " << of.width << (is_narrow ? ", narrow kernels" : ""));
  const auto tolerance = tolerances<T>(true);
  const auto check = [&](const char* what, const auto& got, const std::vector<double>& parts,
                         const std::vector<double>& exact, double rounding) {
    INFO(what);
    CHECK(difference(widened(got), exact) <=
          test::kEmulatedAgainstParts * std::max(difference(parts, exact), rounding));
  };
  check("y", run.y, of_parts.y, expected.y, tolerance.map);
  check("dx", run.dx, of_parts.dx, expected.dx, tolerance.map);
  check("weights", run.weights, of_parts.weights, expected.weights, tolerance.weights);
  check("outer", run.outer, of_parts.outer, expected.outer, tolerance.rest);
  check("gammas", run.gammas, of_parts.gammas, expected.gammas, tolerance.rest);
  check("running", run.running, of_parts.running, expected.running, tolerance.rest);
}

/// Whether all values of a channel are finite, and whether none is.
struct Finite {
  bool all = true, none = true;
};

Finite finite_of(const std::vector<double>& values, int channels, int channel) {
  Finite finite;
  for (size_t i = static_cast<size_t>(channel); i < values.size(); i += static_cast<size_t>(channels)) {
    std::isfinite(values[i]) ? finite.none = false : finite.all = false;
  }
  return finite;
}

/// A value that is none spoils its channel, as norms over the batch do, and no other.
template <class T>
void check_not_finite(Element element, const Case& of, double value) {
  constexpr int kBad = 3;
  auto in = inputs_of<T>(of);
  in.x[static_cast<size_t>((of.height / 2 * of.width + of.width / 2) * of.channels + kBad)] = value;
  Run<T> run(element, in);
  run.forward();
  run.backward();
  INFO(of.height << " x " << of.width << ", " << value);
  CHECK(run.is_intact());
  for (int channel = 0; channel < of.channels; ++channel) {
    INFO("channel " << channel);
    auto running = widened(run.running);
    running.erase(running.begin() + 2 * kBranches * of.channels, running.end());  // the outer mean is that of betas
    for (const auto& values : {widened(run.y), widened(run.dx), widened(run.gammas), running}) {
      const auto finite = finite_of(values, of.channels, channel);
      CHECK((channel == kBad ? finite.none : finite.all));
    }
    for (int b = 0; b < kBranches; ++b) {
      const int taps = branch_size(b) * branch_size(b);
      const float* weights = run.weights.data() + start_of_weights(b, of.channels) + channel * taps;
      for (int tap = 0; tap < taps; ++tap) CHECK(std::isfinite(weights[tap]) == (channel != kBad));
    }
  }
}

TEST_CASE("emulated block: a mean far from zero costs no more than branches in the map's type") {
  for (const bool is_narrow : {false, true}) {
    for (const Case& of : {Case{20, 14, 14, 8, 100}, Case{20, 7, 7, 8, 100}, Case{2, 28, 28, 8, 100}}) {
      check_far_mean<BFloat16>(Element::kBFloat16, of, is_narrow);
      check_far_mean<Half>(Element::kHalf, of, is_narrow);
    }
  }
}

TEST_CASE("emulated block: infinity and not-a-number spoil their channel, and no other") {
  for (const double value : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    for (const Case& of : {Case{2, 14, 14, 8, 1}, Case{2, 7, 7, 8, 1}, Case{2, 10, 10, 8, 1}}) {
      check_not_finite<BFloat16>(Element::kBFloat16, of, value);
      check_not_finite<Half>(Element::kHalf, of, value);
      check_not_finite<float>(Element::kFloat, of, value);
    }
  }
}

TEST_CASE("emulated block: matches the definition in float32") { check_against_judge<float>(Element::kFloat); }

TEST_CASE("emulated block: matches the definition in bf16") { check_against_judge<BFloat16>(Element::kBFloat16); }

TEST_CASE("emulated block: matches the definition in fp16") { check_against_judge<Half>(Element::kHalf); }

TEST_CASE("emulated block: the same bits in whichever order threads take their turns") {
  check_orders<float>(Element::kFloat);
  check_orders<BFloat16>(Element::kBFloat16);
}

}  // namespace
}  // namespace unireplk::emulation
