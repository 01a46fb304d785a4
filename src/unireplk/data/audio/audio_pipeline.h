#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/data/pipeline.h"

namespace unireplk::data::audio {

/// What the rows and columns of the map are: mel bins and frames, or the other way round.
enum class Orientation { kFreqTime, kTimeFreq };

/// `name: audio`: from a sound file to a log-mel spectrogram.
struct AudioPipelineConfig {
  int64_t sample_rate = 16000;
  int64_t num_mel_bins = 128;
  int64_t target_length = 0;
  double mean = 0;
  double std = 0;
  int64_t freqm = 0;
  int64_t timem = 0;
  double mixup = 0;
  bool noise = false;
  int64_t roll = 10;
  Orientation orientation = Orientation::kFreqTime;

  static void fields(auto& self, auto&& visit) {
    visit("sample_rate", self.sample_rate, config::between(1000, 192000), "Hz; files of other rates are resampled.");
    visit("num_mel_bins", self.num_mel_bins, config::between(1, 1024),
          "Bins of the mel scale, 20 Hz to half the rate.");
    visit("target_length", self.target_length, config::required & config::between(1, 65536),
          "Frames of 10 ms that the network sees: longer sounds are cut, shorter ones padded.");
    visit("mean", self.mean, config::required, "Mean of the logarithms over the data set.");
    visit("std", self.std, config::required & config::positive,
          "Their standard deviation; the network sees (x - mean) / (2 std).");
    visit("freqm", self.freqm, config::non_negative, "Training: bins masked in one band, fewer than this; 0: none.");
    visit("timem", self.timem, config::non_negative, "Training: frames masked in one piece, fewer than this; 0: none.");
    visit("mixup", self.mixup, config::fraction, "Training: share of sounds that another one is mixed into.");
    visit("noise", self.noise, "Training: add noise of up to 0.1, and roll in time.");
    visit("roll", self.roll, config::non_negative, "With noise: frames to roll by, -roll to roll - 1.");
    visit("orientation", self.orientation, "freq_time: rows are bins; time_freq: rows are frames.");
  }
  void validate(config::Problems& problems) const;
};

/// Field `image`: float32 [1, bins, frames], or [1, frames, bins], normalised. In training with mixup also `target`,
/// float32 [classes], which the sounds share. Source: spec/audio.md section 3, in its order.
///
/// \throws UserError when mixup meets data without classes.
std::unique_ptr<Pipeline> make_audio_pipeline(const AudioPipelineConfig& config, const DataInfo& source, Mode mode);

}  // namespace unireplk::data::audio

template <>
struct unireplk::config::EnumNames<unireplk::data::audio::Orientation> {
  using E = unireplk::data::audio::Orientation;
  static constexpr std::pair<std::string_view, E> values[] = {{"freq_time", E::kFreqTime}, {"time_freq", E::kTimeFreq}};
};
