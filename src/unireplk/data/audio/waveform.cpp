#include "unireplk/data/audio/waveform.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace unireplk::data::audio {
namespace {

constexpr size_t kMostChanges = 16;

double sum_of(std::span<const float> samples) { return std::accumulate(samples.begin(), samples.end(), 0.0); }

}  // namespace

double mean_of(std::span<const float> samples) { return sum_of(samples) / static_cast<double>(samples.size()); }

void subtract(std::vector<float>& samples, double value) {
  const auto shift = static_cast<float>(value);
  for (float& sample : samples) sample -= shift;
}

void mix_into(std::vector<float>& own, const std::vector<float>& other, double share) {
  const auto mine = static_cast<float>(share), rest = static_cast<float>(1 - share);
  const size_t both = std::min(own.size(), other.size());
  for (size_t i = 0; i < both; ++i) own[i] = mine * own[i] + rest * other[i];
  for (size_t i = both; i < own.size(); ++i) own[i] *= mine;
  subtract(own, mean_of(own));
}

std::shared_ptr<const kernels::RateChange> WaveformReader::change_from(int64_t rate) const {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = changes_.find(rate); found != changes_.end()) return found->second;
  }
  auto change = std::make_shared<const kernels::RateChange>(rate_change(rate, rate_));
  const std::lock_guard lock(mutex_);
  if (changes_.size() < kMostChanges) changes_.emplace(rate, change);
  return change;
}

Result<std::vector<float>> WaveformReader::read(Sound sound, const std::string& place,
                                                std::pmr::memory_resource& memory) const {
  if (sound.rate != rate_) {
    const auto change = change_from(sound.rate);
    const int64_t length = changed_length(*change, sound.length());
    if (length > kMaxSamples / sound.channels) {
      return Problem{place,
                     format("at {} Hz the sound has {} samples, expected at most {}", rate_, length, kMaxSamples),
                     "Cut it into shorter files."};
    }
    Sound changed{.rate = rate_, .channels = sound.channels, .samples = {}};
    for (int64_t c = 0; c < sound.channels; ++c) {
      const auto channel = change_rate(*change, sound.channel(c), memory);
      changed.samples.insert(changed.samples.end(), channel.begin(), channel.end());
    }
    sound = std::move(changed);
  }
  const double mean = mean_of(sound.samples);
  const auto length = static_cast<size_t>(sound.length());
  auto samples = std::move(sound.samples);
  samples.resize(length);
  subtract(samples, mean);
  return samples;
}

}  // namespace unireplk::data::audio
