#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>

#include "unireplk/data/audio/audio_files.h"
#include "unireplk/data/audio/audio_folder.h"
#include "unireplk/data/audio/audio_pipeline.h"
#include "unireplk/data/audio/sound.h"
#include "unireplk/runner/looks.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;
namespace audio = data::audio;

constexpr int64_t kMostRate = 16000, kNarrowRate = 8000;  // Hz; with a rate this low fewer bins have something in them

/// Some sounds of the data, evenly chosen, and what they have in common.
struct Heard {
  std::vector<data::Record> records;
  std::vector<int64_t> rates;  ///< Hz
  std::vector<double> seconds;
};

/// \throws UserError when none can be decoded.
Heard listen_to(const data::Source& sounds) {
  Heard heard;
  look_at_some(sounds, "sounds", [&](data::Record record, const std::string& file) -> std::optional<Problem> {
    const auto sound = audio::decode(std::get<data::EncodedBytes>(record.payload).bytes, file);
    if (!sound) return sound.problem();
    heard.rates.push_back((*sound).rate);
    heard.seconds.push_back(static_cast<double>((*sound).length()) / static_cast<double>((*sound).rate));
    heard.records.push_back(std::move(record));
    return std::nullopt;
  });
  return heard;
}

/// The value below which this share of them lies.
template <class T>
T quantile(std::vector<T> values, double share) {
  const auto place = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, values.begin() + place);
  return values[static_cast<size_t>(place)];
}

/// A pipeline for these sounds, with the mean and deviation that they have in it.
audio::AudioPipelineConfig pipeline_for(const Heard& heard, const DataInfo& info) {
  constexpr double kFramesPerSecond = 100;
  audio::AudioPipelineConfig config;
  config.sample_rate = std::clamp<int64_t>(quantile(heard.rates, 0.5), 1000, kMostRate);
  config.num_mel_bins = config.sample_rate > kNarrowRate ? 128 : 64;
  const auto frames = static_cast<int64_t>(std::ceil(quantile(heard.seconds, 0.9) * kFramesPerSecond));
  config.target_length = std::clamp<int64_t>((frames + 31) / 32 * 32, 32, 1024);  // the network divides by 32
  config.std = 0.5;                                                               // (x - 0) / (2 * 0.5): as it is
  const auto pipeline = audio::make_audio_pipeline(config, info, data::Mode::kEvaluation);
  double sum = 0, squares = 0, count = 0;
  for (const auto& record : heard.records) {
    const auto samples = pipeline->apply(record, {}).value_or_throw();
    const at::Tensor map = samples.front().fields.at("image").to(at::kDouble);
    sum += map.sum().item<double>();
    squares += map.square().sum().item<double>();
    count += static_cast<double>(map.numel());
  }
  config.mean = sum / count;
  config.std = std::sqrt(std::max(squares / count - config.mean * config.mean, 1e-6));
  return config;
}

bool is_sound(const std::string& name) { return audio::audio_files().holds(name); }

Draft draft_audio(const fs::path& folder, const Wishes& wishes) {
  auto [draft, sounds] =
      draft_classes(folder, {.name = "audio_folder", .items = "sounds", .open = [](const fs::path& root) {
                               return audio::make_audio_folder({.root = root});
                             }});
  const auto pipeline = pipeline_for(listen_to(*sounds), sounds->info());
  draft.data += format("  pipeline: {{name: audio, sample_rate: {}, num_mel_bins: {}, target_length: {},\n",
                       pipeline.sample_rate, pipeline.num_mel_bins, pipeline.target_length);
  draft.data += format("             mean: {:.4f}, std: {:.4f}, freqm: {}, timem: {}}}\n", pipeline.mean, pipeline.std,
                       pipeline.num_mel_bins / 5, pipeline.target_length / 5);
  if (wishes.channels.value_or(1) != 1) draft.init = "  stem: sum\n";
  return draft;
}

}  // namespace

Look look_at_audio() {
  return {.files = "sounds in one sub-folder for each class",
          .knows = [](const fs::path& data) { return holds_file(data, is_sound); },
          .draft = draft_audio};
}

}  // namespace unireplk::runner
