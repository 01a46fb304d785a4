#include "unireplk/data/audio/filterbank.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <sstream>

#include "data_audio/sounds.h"
#include "kernels/forced.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/test_data.h"
#include "unireplk/data/audio/sound.h"
#include "unireplk/data/audio/waveform.h"

namespace unireplk::data::audio {
namespace {

constexpr double kFloor = -15.942385;

/// [bins][frames].
struct Map {
  Map(const Filterbank& filterbank, const std::vector<float>& samples, int64_t bins)
      : frames(filterbank.frames(std::ssize(samples))), values(static_cast<size_t>(bins * frames)) {
    filterbank.apply(samples, values.data(), frames, test::memory());
  }
  float at(int64_t frame, int64_t bin) const { return values[static_cast<size_t>(bin * frames + frame)]; }

  int64_t frames;
  std::vector<float> values;
};

Map spec_map() {
  auto x = test::spec_waveform();
  subtract(x, mean_of(x));
  return {Filterbank({}), x, 128};
}

/// spec/audio.md section 4.4: float32 alone reaches this, more where little sound is left.
double tolerance(double value) { return value > -12 ? 1e-3 : 1e-2; }

TEST_CASE("filterbank: the check values of the specification, with every instruction set", "[numeric]") {
  const kernels::Forced forced(GENERATE(from_range(kernels::instruction_sets())));
  const auto map = spec_map();
  REQUIRE(map.frames == 98);
  const std::map<std::pair<int, int>, double> expected{
      {{0, 0}, -9.96331},  {{0, 1}, -11.22604},  {{0, 3}, -15.94239}, {{0, 27}, -4.53159},  {{0, 64}, -2.90546},
      {{0, 127}, 0.99209}, {{1, 10}, -3.80369},  {{10, 27}, 2.45825}, {{50, 80}, -1.39154}, {{50, 100}, -0.79385},
      {{97, 0}, -8.93170}, {{97, 64}, -2.78266}, {{97, 127}, 0.94819}};
  for (const auto& [place, value] : expected) {
    CAPTURE(place.first, place.second);
    CHECK(map.at(place.first, place.second) == Approx(value).margin(tolerance(value)));
  }
  const double count = static_cast<double>(map.values.size());
  CHECK(std::accumulate(map.values.begin(), map.values.end(), 0.0) / count == Approx(-2.609113).margin(1e-4));
  for (int64_t frame = 0; frame < map.frames; ++frame) CHECK(map.at(frame, 3) == Approx(kFloor).margin(1e-5));
}

TEST_CASE("filterbank: equals the reference, map and weights", "[golden]") {
  const auto golden = test::golden_tensors("audio");
  const auto map = spec_map();
  const auto weights = Filterbank({}).mel_weights();
  for (const auto& [name, tensor] : golden.tensors) {
    const auto wide = tensor.to(at::kDouble).contiguous();
    const double* values = wide.const_data_ptr<double>();
    if (name == "log_mel") {
      for (int64_t i = 0; i < 98 * 128; ++i) {
        REQUIRE(std::abs(map.at(i / 128, i % 128) - values[i]) < tolerance(values[i]));
      }
    } else if (name == "mel_weights") {
      for (int64_t i = 0; i < 128 * 256; ++i) {
        REQUIRE(std::abs(weights[static_cast<size_t>(i)] - values[i / 256 * 257 + i % 256]) < 1e-6);
      }
    }
  }
}

TEST_CASE("filterbank: the weights of the specification") {
  const auto weights = Filterbank({}).mel_weights();
  const auto at = [&](int64_t bin, int64_t k) { return weights[static_cast<size_t>(bin * 256 + k)]; };
  CHECK(std::accumulate(weights.begin(), weights.end(), 0.0) == Approx(252.6105).margin(1e-3));
  CHECK(at(0, 1) == Approx(0.802640).margin(1e-5));
  CHECK(at(1, 2) == Approx(0.030967).margin(1e-5));
  CHECK(at(2, 2) == Approx(0.969033).margin(1e-5));
  CHECK(at(4, 3) == Approx(0.951601).margin(1e-5));
  CHECK(at(27, 17) == Approx(0.775958).margin(1e-5));
  CHECK(at(64, 58) == Approx(0.700285).margin(1e-5));
  for (int64_t k = 0; k < 256; ++k) {
    double sum = 0;
    for (int64_t bin = 0; bin < 128; ++bin) sum += at(bin, k);
    if (k == 0) CHECK(sum == 0);
    if (k >= 2 && k <= 250) CHECK(sum == Approx(1).margin(1e-5));
    CHECK(at(3, k) == 0);
  }
}

TEST_CASE("filterbank: whole frames only, and silence lies on the floor") {
  const Filterbank filterbank({});
  const std::map<int64_t, int64_t> frames{{399, 0},    {400, 1},     {559, 1},     {560, 2},
                                          {16000, 98}, {80000, 498}, {160000, 998}};
  for (const auto& [samples, count] : frames) CHECK(filterbank.frames(samples) == count);
  const Map silence(filterbank, std::vector<float>(1600), 128);
  for (const float value : silence.values) CHECK(value == Approx(kFloor).margin(1e-5));
}

TEST_CASE("filterbank: frames are the same bits whatever comes with them, and a cut row is left alone") {
  const Filterbank filterbank({});
  const auto x = test::spec_waveform();
  const Map whole(filterbank, x, 128);
  const Map one(filterbank, {x.begin() + 160 * 37, x.begin() + 160 * 37 + 400}, 128);
  for (int64_t bin = 0; bin < 128; ++bin) CHECK(one.at(0, bin) == whole.at(37, bin));
  std::vector<float> cut(128 * 5);
  filterbank.apply(x, cut.data(), 5, test::memory());
  for (int64_t i = 0; i < 128 * 5; ++i) CHECK(cut[static_cast<size_t>(i)] == whole.at(i % 5, i / 5));
}

/// Rows of numbers in brackets, as Kaldi prints a matrix.
std::vector<double> kaldi_matrix(const std::filesystem::path& file) {
  std::string text = test::content(file);
  text = text.substr(text.find('[') + 1, text.rfind(']') - text.find('[') - 1);
  std::istringstream in(text);
  return {std::istream_iterator<double>(in), {}};
}

/// 3e-4, and where a louder bin is in the frame what float32 rounds off its amplitude: Kaldi's own output lies 6.4 such
/// units from float64.
double kaldi_tolerance(double value, double loudest) {
  return 3e-4 + 2 * 8 * std::exp2(-24) * std::exp((loudest - value) / 2);
}

TEST_CASE("filterbank: equals Kaldi itself", "[golden]") {
  const auto folder = test::test_data("golden/kaldi_features");
  if (!folder) return;
  auto sound = decode(test::bytes_of(test::content(*folder / "test.wav")), "test.wav").value_or_throw();
  for (float& sample : sound.samples) sample *= 32768;
  const std::map<std::string, int64_t> files{{"test.txt", 23}, {"test-40.txt", 40}};
  for (const auto& [name, bins] : files) {
    CAPTURE(name);
    const Map map(Filterbank({.rate = sound.rate, .bins = bins, .window = Window::kPovey}), sound.samples, bins);
    const auto expected = kaldi_matrix(*folder / name);
    REQUIRE(std::ssize(expected) == map.frames * bins);
    for (int64_t frame = 0; frame < map.frames; ++frame) {
      const auto row = expected.begin() + frame * bins;
      const double top = *std::max_element(row, row + bins);
      for (int64_t bin = 0; bin < bins; ++bin) {
        CAPTURE(frame, bin);
        REQUIRE(std::abs(map.at(frame, bin) - row[bin]) < kaldi_tolerance(row[bin], top));
      }
    }
  }
}

}  // namespace
}  // namespace unireplk::data::audio
