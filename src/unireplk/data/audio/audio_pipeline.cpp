#include "unireplk/data/audio/audio_pipeline.h"

#include <ATen/ops/zeros.h>

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/core/log.h"
#include "unireplk/core/recycler.h"
#include "unireplk/data/audio/filterbank.h"
#include "unireplk/data/audio/sound.h"
#include "unireplk/data/audio/spectrogram.h"
#include "unireplk/data/audio/waveform.h"
#include "unireplk/data/read_bytes.h"

namespace unireplk::data::audio {
namespace {

/// Each consumer of a Draw has a stream of its own.
enum Stream : uint32_t { kPartner = 1, kShare, kMaskedBins, kMaskedFrames, kNoise, kRoll };

constexpr double kMixupAlpha = 10;

Result<Sound> sound_of(const Record& record) {
  const std::string place = record.source.text();
  if (const auto* file = std::get_if<EncodedBytes>(&record.payload)) return decode(file->bytes, place);
  const auto* path = std::get_if<std::filesystem::path>(&record.payload);
  if (!path) {
    throw UserError({"data.pipeline", "audio makes maps of sounds, and the data source gives arrays",
                     "Choose a source of sounds, or the pipeline of this data."});
  }
  const auto file = read_bytes(*path);
  if (!file) return file.problem();
  return decode(file->bytes, place);
}

FieldSpec target_field(int64_t classes) {
  return {.name = "target", .dtype = at::kFloat, .shape = {classes}, .meaning = "share of each class"};
}

class AudioPipeline : public Pipeline {
 public:
  AudioPipeline(const AudioPipelineConfig& config, const DataInfo& source, Mode mode)
      : config_(config),
        is_training_(mode == Mode::kTrain),
        classes_(static_cast<int64_t>(source.classes.size())),
        reader_(config.sample_rate),
        filterbank_({.rate = config.sample_rate, .bins = config.num_mel_bins}) {
    if (mixes() && classes_ == 0) {
      throw UserError({"data.pipeline.mixup", "the data have no classes whose sounds could be mixed", "Set it to 0."});
    }
  }

  std::optional<int64_t> partner(const Draw& draw, int64_t items) const override {
    if (!mixes()) return std::nullopt;
    RandomStream random = draw.stream(kPartner);
    if (!random.bernoulli(config_.mixup)) return std::nullopt;
    return random.integer(0, items - 1);
  }

  Result<std::vector<Sample>> apply(const Record& record, const Draw& draw) const override {
    auto samples = waveform_of(record);
    if (!samples) return samples.problem();
    Sample sample{.fields = record.target, .key = record.key, .source = record.source};
    if (mixes()) {
      const auto target = mix(*samples, record, draw);
      if (!target) return target.problem();
      sample.fields["target"] = *target;
    }
    sample.fields["image"] = map_of(std::move(samples).value(), draw, record.source.text());
    return std::vector{std::move(sample)};
  }

  DataInfo describe(DataInfo source) const override {
    std::erase_if(source.fields,
                  [&](const FieldSpec& spec) { return spec.name == "image" || (mixes() && spec.name == "target"); });
    const int64_t bins = config_.num_mel_bins, frames = config_.target_length;
    const bool is_freq_time = config_.orientation == Orientation::kFreqTime;
    source.fields.push_back(
        {.name = "image",
         .dtype = at::kFloat,
         .shape = is_freq_time ? std::vector<int64_t>{1, bins, frames} : std::vector<int64_t>{1, frames, bins},
         .meaning = is_freq_time ? "log-mel spectrogram, 1 x bins x frames" : "log-mel spectrogram, 1 x frames x bins",
         .view = is_freq_time ? View::kFrequencyTime : View::kTimeFrequency});
    if (mixes()) source.fields.push_back(target_field(classes_));
    return source;
  }

  void observe_stages(StageObserver observer) override { observer_ = std::move(observer); }

 private:
  bool mixes() const { return is_training_ && config_.mixup > 0; }

  void end_stage(const char* name) const {
    if (observer_) observer_(name);
  }

  Result<std::vector<float>> waveform_of(const Record& record) const {
    auto sound = sound_of(record);
    end_stage("decode");
    if (!sound) return sound.problem();
    auto samples = reader_.read(std::move(sound).value(), record.source.text(), *memory_);
    end_stage("resample");
    return samples;
  }

  /// Mix the partner, if there is one, into the waveform. \return the target of what became of it.
  Result<at::Tensor> mix(std::vector<float>& samples, const Record& record, const Draw& draw) const {
    const at::Tensor own = target_of(record);
    if (!record.partner) return own;
    const auto other = waveform_of(*record.partner);
    if (!other) return other.problem();
    RandomStream random = draw.stream(kShare);
    const double share = random.beta(kMixupAlpha);
    mix_into(samples, *other, share);
    end_stage("mix");
    return own.mul(share).add_(target_of(*record.partner), 1 - share);
  }

  at::Tensor target_of(const Record& record) const {
    if (const auto found = record.target.find("target"); found != record.target.end()) return found->second;
    const at::Tensor target = at::zeros({classes_});
    target[record.target.at("label").item<int64_t>()] = 1;
    return target;
  }

  at::Tensor map_of(std::vector<float> samples, const Draw& draw, const std::string& place) const {
    if (std::ssize(samples) < filterbank_.frame_samples()) {
      tell_of_short_sound(place);
      samples.resize(static_cast<size_t>(filterbank_.frame_samples()));
    }
    const int64_t bins = config_.num_mel_bins, frames = config_.target_length;
    const at::Tensor map = at::zeros({1, bins, frames});
    const std::span values(map.mutable_data_ptr<float>(), static_cast<size_t>(bins * frames));
    filterbank_.apply(samples, values.data(), frames, *memory_);
    end_stage("filterbank");
    const Masks masks = is_training_ ? draw_masks(draw) : Masks{};
    mask_and_normalise(values, frames, masks, config_.mean, config_.std);
    if (is_training_ && config_.noise) disturb(values, draw);
    end_stage("augment");
    return config_.orientation == Orientation::kFreqTime ? map : map.transpose(1, 2).contiguous();
  }

  Masks draw_masks(const Draw& draw) const {
    RandomStream bins = draw.stream(kMaskedBins), frames = draw.stream(kMaskedFrames);
    return {.bins = draw_stripe(config_.num_mel_bins, config_.freqm, bins),
            .frames = draw_stripe(config_.target_length, config_.timem, frames)};
  }

  void disturb(std::span<float> values, const Draw& draw) const {
    RandomStream noise = draw.stream(kNoise), rolls = draw.stream(kRoll);
    add_noise(values, noise);
    if (config_.roll > 0) roll(values, config_.target_length, rolls.integer(-config_.roll, config_.roll - 1));
  }

  void tell_of_short_sound(const std::string& place) const {
    if (has_told_.exchange(true)) return;
    log_warning("{}: shorter than the 25 ms of one frame, zeros make it one. Further ones are not named.", place);
  }

  static constexpr size_t kMostKept = size_t{64} << 20;
  std::shared_ptr<Recycler> memory_ = std::make_shared<Recycler>(kMostKept);

  AudioPipelineConfig config_;
  bool is_training_;
  int64_t classes_;
  WaveformReader reader_;
  Filterbank filterbank_;
  StageObserver observer_;
  mutable std::atomic<bool> has_told_ = false;
};

}  // namespace

void AudioPipelineConfig::validate(config::Problems& problems) const {
  if (freqm > num_mel_bins) {
    problems.add("freqm", format("expected at most the {} bins there are, got {}", num_mel_bins, freqm), "");
  }
  if (timem > target_length) {
    problems.add("timem", format("expected at most the {} frames there are, got {}", target_length, timem), "");
  }
}

std::unique_ptr<Pipeline> make_audio_pipeline(const AudioPipelineConfig& config, const DataInfo& source, Mode mode) {
  return std::make_unique<AudioPipeline>(config, source, mode);
}

}  // namespace unireplk::data::audio
