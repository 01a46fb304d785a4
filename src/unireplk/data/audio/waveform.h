#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <string>
#include <vector>

#include "unireplk/data/audio/resample.h"
#include "unireplk/data/audio/sound.h"

namespace unireplk::data::audio {

/// The first channel of a sound at one rate, the mean of all channels taken away: spec/audio.md sections 2.5 and 3,
/// step 2. Thread-safe.
class WaveformReader {
 public:
  explicit WaveformReader(int64_t rate) : rate_(rate) {}

  /// \param place  named in problems. \return a problem when there would be more than kMaxSamples.
  Result<std::vector<float>> read(Sound sound, const std::string& place, std::pmr::memory_resource& memory) const;

 private:
  std::shared_ptr<const kernels::RateChange> change_from(int64_t rate) const;

  int64_t rate_;
  mutable std::mutex mutex_;
  mutable std::map<int64_t, std::shared_ptr<const kernels::RateChange>> changes_;  ///< of the first rates met
};

/// Of at least one sample; summed in double.
double mean_of(std::span<const float> samples);

/// Take a value away from each sample.
void subtract(std::vector<float>& samples, double value);

/// share * own + (1 - share) * other, whose length becomes that of `own` (zeros behind, or its end cut off), the mean
/// taken away again: spec/audio.md section 3, step 3.
void mix_into(std::vector<float>& own, const std::vector<float>& other, double share);

}  // namespace unireplk::data::audio
