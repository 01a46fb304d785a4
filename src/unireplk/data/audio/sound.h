#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "unireplk/core/result.h"

namespace unireplk::data::audio {

/// Decoded sound, channel by channel.
struct Sound {
  int64_t rate = 0;  ///< Hz
  int64_t channels = 0;
  std::vector<float> samples;  ///< [channels][length()], whole numbers scaled to [-1, 1)

  int64_t length() const { return static_cast<int64_t>(samples.size()) / channels; }
  std::span<const float> channel(int64_t c) const {
    return std::span(samples).subspan(static_cast<size_t>(c * length()), static_cast<size_t>(length()));
  }
};

/// Larger files are refused: they are a mistake or an attack.
inline constexpr int64_t kMaxChannels = 64;
inline constexpr int64_t kMaxRate = 768000;               ///< Hz
inline constexpr int64_t kMaxSamples = int64_t{1} << 27;  ///< of all channels together: 23 minutes of stereo at 48 kHz

/// Decode what libsndfile reads (WAV, FLAC, Ogg, AIFF, MP3, ...), told apart by content. Whole numbers of b bits are
/// divided by 2^(b-1), those of unsigned 8 bits after taking 128 away: spec/audio.md section 2.5.
///
/// \param place  the file, named in problems.
/// \return a problem when the file is none of these, holds no sample, is cut short or corrupt, holds a sample that is
///         no finite number, or more than kMaxChannels, kMaxRate or kMaxSamples allow.
Result<Sound> decode(std::span<const std::byte> file, const std::string& place);

}  // namespace unireplk::data::audio
