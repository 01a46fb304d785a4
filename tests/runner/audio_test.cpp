#include <ATen/core/Tensor.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>
#include <random>
#include <string>

#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "unireplk/io/tensor_file.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;

std::string little_endian(uint32_t value, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text.push_back(static_cast<char>(value >> (8 * i)));
  return text;
}

/// 16 kHz, 16 bits; a quarter of a second where nothing else is said.
template <class Value>
std::string wav_of(Value value, int count = 4000) {
  std::string samples;
  for (int i = 0; i < count; ++i) {
    samples += little_endian(static_cast<uint32_t>(static_cast<int>(8000 * value(i / 16000.0))), 2);
  }
  return "RIFF" + little_endian(static_cast<uint32_t>(36 + samples.size()), 4) + "WAVEfmt " + little_endian(16, 4) +
         little_endian(1, 2) + little_endian(1, 2) + little_endian(16000, 4) + little_endian(32000, 4) +
         little_endian(2, 2) + little_endian(16, 2) + "data" + little_endian(static_cast<uint32_t>(samples.size()), 4) +
         samples;
}

/// Four each of tones, rising and falling chirps, and noise.
void write_sounds(const fs::path& root) {
  constexpr double kTurn = 2 * std::numbers::pi;
  for (int i = 0; i < 4; ++i) {
    const std::string name = std::to_string(i) + ".wav";
    const double hz = 400 + 300 * i;
    write_file(root / "tone" / name, wav_of([&](double t) { return std::sin(kTurn * hz * t); }));
    write_file(root / "up" / name, wav_of([&](double t) { return std::sin(kTurn * (hz * t + 6000 * t * t)); }));
    write_file(root / "down" / name,
               wav_of([&](double t) { return std::sin(kTurn * ((hz + 4000) * t - 6000 * t * t)); }));
    std::mt19937 random(static_cast<uint32_t>(i));
    write_file(root / "noise" / name, wav_of([&](double) { return static_cast<double>(random()) / 2147483648.0 - 1; }));
  }
}

constexpr const char* kSounds = R"(
name: sounds
device: cpu
model:
  backbone:
    {name: unireplknet, depths: [1, 1, 1, 1], dims: [16, 24, 32, 48], kernel_sizes: [[3], [3], [13], [13]],
     layer_scale_init: 0.1}
data:
  train: {name: audio_folder, root: sounds}
  validation: {name: audio_folder, root: sounds}
  pipeline: {name: audio, target_length: 32, num_mel_bins: 64, mean: -5, std: 5, mixup: MIXUP}
  loader: {batch_size: 8, workers: 1}
task: TASK
train:
  epochs: 25
  optimizer: {name: adamw, lr: 4.0e-3, weight_decay: 0}
  schedule: {name: cosine, warmup_epochs: 1}
  validate_every_epochs: 25
)";

std::string with(std::string text, const std::string& word, const std::string& value) {
  return text.replace(text.find(word), word.size(), value);
}

}  // namespace

TEST_CASE("audio: a small network learns sixteen sounds by heart, as classes and as labels", "[numeric]") {
  const auto [task, mixup] = GENERATE(table<std::string, std::string>(
      {{"{name: classification}", "0"}, {"{name: multi_label, metric: accuracy}", "0.5"}}));
  const TemporaryFolder folder;
  write_sounds(folder / "sounds");
  write_file(folder / "sounds.yaml", with(with(kSounds, "MIXUP", mixup), "TASK", task));
  const auto in_folder = [&](const std::string& command) {
    return run({"/bin/sh", "-c", "cd '" + folder.path().string() + "' && '" + unireplk_path() + "' " + command});
  };
  const auto trained = in_folder("train sounds.yaml --json");
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  CHECK(nlohmann::json::parse(trained.out)["best"] == 100);
  REQUIRE(in_folder("export runs/sounds --output sounds.safetensors").exit_code == 0);
  const auto predicted = in_folder("predict sounds.safetensors sounds/up/2.wav --json");
  INFO(predicted.err);
  CHECK(nlohmann::json::parse(predicted.out)["classes"][0]["label"] == "up");
  write_file(folder / "none.wav", "nothing");
  const auto refused = in_folder("predict sounds.safetensors none.wav");
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Catch::Matchers::Contains("none.wav: expected a sound file"));
}

TEST_CASE("audio: no kill changes a byte of a run that mixes, masks and rolls sounds", "[numeric]") {
  const TemporaryFolder folder;
  write_sounds(folder / "sounds");
  write_file(folder / "sounds.yaml", with(with(kSounds, "MIXUP", "0.5"), "TASK", "{name: multi_label}"));
  const auto verified = run({"/bin/sh", "-c",
                             "cd '" + folder.path().string() + "' && '" + unireplk_path() +
                                 "' verify-resume sounds.yaml --kills 2 train.epochs=8 train.checkpoint.every_steps=3 "
                                 "train.validate_every_epochs=4 data.pipeline.freqm=8 data.pipeline.timem=8 "
                                 "data.pipeline.noise=true data.pipeline.roll=4"});
  INFO(verified.err);
  CHECK(verified.exit_code == 0);
}

TEST_CASE("init: drafts a config for a folder of sounds", "[numeric]") {
  const TemporaryFolder folder;
  const auto config = (folder / "digits.yaml").string();
  const auto written = unireplk({"init", "--data", "examples/data/digits", "--output", config});
  INFO(written.err);
  REQUIRE(written.exit_code == 0);
  CHECK_THAT(written.out, Catch::Matchers::Contains("400 sounds of 10 classes"));
  std::ifstream text(config);
  CHECK_THAT(std::string(std::istreambuf_iterator<char>(text), {}),
             Catch::Matchers::Contains("sample_rate: 8000, num_mel_bins: 64, target_length: 64"));
  const auto trained = unireplk({"train", config, "output=" + folder.path().string(), "train.max_steps=1",
                                 "train.schedule.warmup_epochs=0", "device=cpu", "data.loader.batch_size=4"});
  INFO(trained.err);
  CHECK(trained.exit_code == 0);
}

TEST_CASE("bench spectrogram: the pace, and what was computed", "[numeric]") {
  constexpr double kTurn = 2 * std::numbers::pi;
  const auto tone = [](double t) { return std::sin(kTurn * 1000 * t); };
  const TemporaryFolder folder;
  const auto sound = (folder / "tone.wav").string(), output = (folder / "heard.safetensors").string();
  write_file(sound, wav_of(tone));
  const auto finished = unireplk({"bench", "spectrogram", sound, "examples/data/digits/validation/7/7_theo_0.flac",
                                  "--output", output, "--iters", "2", "--warmup", "0"});
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  const auto line = nlohmann::json::parse(finished.out);
  CHECK(line["samples_ms"].size() == 2);
  CHECK(line["p10_ms"] <= line["median_ms"]);
  CHECK(line["options"]["threads"] == 1);
  const double seconds = line["seconds_of_sound"];
  CHECK(line["seconds_of_sound_per_second"].get<double>() == Approx(seconds / line["median_ms"].get<double>() * 1e3));

  const auto heard = io::read_safetensors(output);
  REQUIRE(heard.tensors.size() == 4);
  CHECK(heard.metadata.at("sample_rate") == "16000");
  const at::Tensor &waveform = *heard.find("waveform.0"), &map = *heard.find("log_mel.0");
  CHECK(waveform.numel() == 4000);
  CHECK(seconds == Approx(static_cast<double>(4000 + heard.find("waveform.1")->numel()) / 16000));
  CHECK(map.sizes() == at::IntArrayRef{128, 23});
  const auto loudest = map.argmax(0);  // 1 kHz lies between the middles of bins 43 and 44
  CHECK(loudest.ge(43).logical_and(loudest.le(44)).all().item<bool>());
}

TEST_CASE("bench spectrogram: what is no sound, or too short for a frame, is the user's mistake", "[numeric]") {
  const TemporaryFolder folder;
  const auto text = (folder / "text.wav").string(), crack = (folder / "crack.wav").string();
  write_file(text, "nothing");
  write_file(crack, wav_of([](double) { return 0.5; }, 399));
  const auto refused = [](const std::string& file) {
    const auto finished = unireplk({"bench", "spectrogram", file});
    CHECK(finished.exit_code == 2);
    return finished.err;
  };
  CHECK_THAT(refused(text), Catch::Matchers::Contains("text.wav: expected a sound file"));
  CHECK_THAT(refused(crack),
             Catch::Matchers::Contains("crack.wav: expected at least the 400 samples of a frame, got 399"));
}

}  // namespace unireplk::test
