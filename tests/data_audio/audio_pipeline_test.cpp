#include "unireplk/data/audio/audio_pipeline.h"

#include <ATen/ATen.h>

#include "data_audio/sounds.h"
#include "support/captured_log.h"
#include "support/catch.h"
#include "unireplk/config/parse.h"
#include "unireplk/data/audio/waveform.h"
#include "unireplk/data/dataset.h"
#include "unireplk/data/labelled_files.h"

namespace unireplk::data::audio {
namespace {

using Catch::Matchers::Contains;

const DataInfo kInfo{.fields = {label_field()}, .classes = {"low", "high"}, .constants = {}};

AudioPipelineConfig config_of(int64_t frames) {
  AudioPipelineConfig config;
  config.target_length = frames;
  config.mean = -6.845978;
  config.std = 5.5654526;
  return config;
}

Record record_of(const std::string& file, int64_t label = 0) {
  return labelled_record({test::bytes_of(file)}, label, 0, {.file = "x.wav"});
}

Sample sample_of(const AudioPipelineConfig& config, const Record& record, Mode mode = Mode::kEvaluation,
                 const Draw& draw = {}) {
  return make_audio_pipeline(config, kInfo, mode)->apply(record, draw).value_or_throw().front();
}

at::Tensor map_of(const AudioPipelineConfig& config, const std::string& file, Mode mode = Mode::kEvaluation,
                  const Draw& draw = {}) {
  return sample_of(config, record_of(file), mode, draw).fields.at("image");
}

std::string spec_file() {
  std::string bytes;
  for (const float value : test::spec_waveform()) {
    std::string four(4, '\0');
    std::memcpy(four.data(), &value, 4);
    bytes += four;
  }
  return test::wav_file(bytes, {.bits = 32, .is_float = true});
}

TEST_CASE("audio: pads with zeros before it normalises, and cuts") {
  const auto padded = map_of(config_of(128), spec_file());
  REQUIRE(padded.sizes() == at::IntArrayRef({1, 128, 128}));
  CHECK(padded.mean().item<double>() == Approx(0.435578).margin(1e-4));
  CHECK(padded[0][27][0].item<double>() == Approx(0.207924).margin(1e-4));
  CHECK(padded[0][0][98].item<double>() == Approx(0.615042).margin(1e-5));
  const auto cut = map_of(config_of(50), spec_file());
  CHECK(at::equal(cut, padded.slice(2, 0, 50)));
}

TEST_CASE("audio: rows are bins, or frames") {
  auto config = config_of(30);
  const auto map = map_of(config, spec_file());
  config.orientation = Orientation::kTimeFreq;
  CHECK(at::equal(map_of(config, spec_file()), map.transpose(1, 2)));
  const auto info = make_audio_pipeline(config, kInfo, Mode::kTrain)->describe(kInfo);
  CHECK(info.find("image")->shape == std::vector<int64_t>{1, 30, 128});
  CHECK(info.find("image")->dtype == at::kFloat);
  CHECK_FALSE(info.find("target"));
}

TEST_CASE("audio: evaluation draws nothing, training draws from its draw alone") {
  auto config = config_of(128);
  config.freqm = 48;
  config.timem = 48;
  config.noise = true;
  const auto file = test::tone(700, 16000);
  CHECK(at::equal(map_of(config, file, Mode::kEvaluation, {.seed = 1}), map_of(config_of(128), file)));
  const auto first = map_of(config, file, Mode::kTrain, {.seed = 1, .epoch = 2, .item = 3});
  CHECK(at::equal(first, map_of(config, file, Mode::kTrain, {.seed = 1, .epoch = 2, .item = 3})));
  CHECK_FALSE(at::equal(first, map_of(config, file, Mode::kTrain, {.seed = 1, .epoch = 3, .item = 3})));
}

TEST_CASE("audio: what is masked becomes what zero does") {
  auto config = config_of(64);
  config.freqm = 128;
  config.timem = 64;
  const double zero = 6.845978 / (2 * 5.5654526);
  for (int64_t i = 0; i < 20; ++i) {
    const auto plain = map_of(config_of(64), spec_file());
    const auto masked = map_of(config, spec_file(), Mode::kTrain, {.seed = 5, .epoch = 0, .item = i});
    const auto changed = masked.ne(plain);
    CHECK(at::allclose(masked.masked_select(changed), at::full({1}, zero), 1e-5, 1e-6));
    const auto rows = changed.all(2).sum().item<int64_t>(), columns = changed.all(1).sum().item<int64_t>();
    CHECK(changed.sum().item<int64_t>() == rows * 64 + columns * 128 - rows * columns);
  }
}

TEST_CASE("audio: only the first channel is seen, the mean is that of all") {
  std::string both;
  for (int i = 0; i < 1600; ++i) both += test::little_endian(i % 32 * 100, 2) + test::little_endian(8000, 2);
  std::string mono;
  for (int i = 0; i < 1600; ++i) mono += test::little_endian(i % 32 * 100, 2);
  const auto stereo_map = map_of(config_of(8), test::wav_file(both, {.channels = 2}));
  const auto mono_map = map_of(config_of(8), test::wav_file(mono, {}));
  CHECK(at::allclose(stereo_map, mono_map, 1e-3, 1e-2));  // each frame loses its own mean
}

TEST_CASE("audio: a sound shorter than a frame is filled up, and told once") {
  const test::CapturedLog log;
  const auto pipeline = make_audio_pipeline(config_of(4), kInfo, Mode::kEvaluation);
  for (int i = 0; i < 2; ++i) CHECK(pipeline->apply(record_of(test::tone(500, 100)), {}).has_value());
  const auto text = log.text();
  const auto first = text.find("x.wav: shorter than the 25 ms");
  CHECK(first != std::string::npos);
  CHECK(text.rfind("x.wav: shorter") == first);
}

TEST_CASE("audio: a file that cannot be decoded is a problem of its sample") {
  const auto pipeline = make_audio_pipeline(config_of(4), kInfo, Mode::kEvaluation);
  CHECK_THAT(pipeline->apply(record_of("noise"), {}).problem().text(), Contains("x.wav"));
}

TEST_CASE("audio: arrays are no sounds") {
  const auto pipeline = make_audio_pipeline(config_of(4), kInfo, Mode::kEvaluation);
  const Record array{.payload = at::zeros({2, 3}), .target = {}, .key = {}, .source = {}};
  CHECK_THROWS_AS(pipeline->apply(array, {}), UserError);
}

std::vector<float> mixed(std::vector<float> own, const std::vector<float>& other, double share) {
  mix_into(own, other, share);
  return own;
}

TEST_CASE("mixup: the first sound's length wins, the mean is taken away again") {
  CHECK(mixed({1, -1, 2, -2}, {4, -4}, 0.5) == std::vector<float>{2.5F, -2.5F, 1, -1});
  const auto cut = mixed({1, -1}, {4, 2, -6}, 0.5);
  CHECK((cut[0] == Approx(1.0) && cut[1] == Approx(-1.0)));  // (2.5, 0.5) less its mean 1.5
}

/// Low and high tones; another one is mixed into some.
struct Tones {
  explicit Tones(double mixup) {
    std::vector<LabelledFile> files;
    for (int i = 0; i < 40; ++i) {
      const std::string name = format("{}.wav", i);
      test::write_file(folder.path() / name, test::tone(i % 2 == 0 ? 300 : 3000, 4000 + 100 * i));
      files.push_back({name, i % 2});
    }
    std::shared_ptr<const Source> source = labelled_files(folder.path(), {"low", "high"}, std::move(files));
    auto config = config_of(32);
    config.mixup = mixup;
    dataset = make_dataset(source, make_audio_pipeline(config, source->info(), Mode::kTrain));
  }

  test::TemporaryFolder folder;
  Dataset dataset;
};

TEST_CASE("mixup: targets are shares of both labels, as often as asked for") {
  const Tones tones(0.6);
  REQUIRE(tones.dataset.info.find("target"));
  int mixed_labels = 0, count = 0;
  double sum = 0, squares = 0;
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    for (int64_t i = 0; i < tones.dataset.size(); ++i, ++count) {
      const auto sample = tones.dataset.samples(i, {.seed = 3, .epoch = epoch, .item = i}).value_or_throw().front();
      const auto& target = sample.fields.at("target");
      REQUIRE(target.sum().item<double>() == Approx(1));
      const double own = target[i % 2].item<double>();
      if (own == 1) continue;  // not mixed, or with one of its own class
      ++mixed_labels;
      sum += own;
      squares += own * own;
    }
  }
  CHECK(mixed_labels / static_cast<double>(count) == Approx(0.3).margin(0.06));
  const double mean = sum / mixed_labels;
  CHECK(mean == Approx(0.5).margin(0.03));
  CHECK(squares / mixed_labels - mean * mean == Approx(1 / 84.0).margin(0.004));
}

TEST_CASE("mixup: the same sample again, and none without it") {
  const Tones tones(1), plain(0);
  const Draw draw{.seed = 3, .epoch = 1, .item = 5};
  const auto once = tones.dataset.samples(5, draw).value_or_throw().front();
  const auto again = tones.dataset.samples(5, draw).value_or_throw().front();
  CHECK(at::equal(once.fields.at("image"), again.fields.at("image")));
  const auto own = plain.dataset.samples(5, draw).value_or_throw().front();
  CHECK_FALSE(own.fields.contains("target"));
  CHECK_FALSE(at::equal(once.fields.at("image"), own.fields.at("image")));
}

TEST_CASE("audio: masks wider than the map are refused") {
  const auto tree = config::load_text("{target_length: 64, mean: 0, std: 1, freqm: 200, timem: 65}", "a.yaml");
  CHECK_THROWS_WITH(config::parse<AudioPipelineConfig>(tree, {}), Contains("freqm") && Contains("timem"));
}

}  // namespace
}  // namespace unireplk::data::audio
