#include <cmath>

#include "fuzz/target.h"
#include "unireplk/data/audio/sound.h"

namespace unireplk::test {
namespace {

/// Past the header: there is sound in it, or what is wrong stands behind a header that libsndfile reads.
bool try_sound(std::span<const std::byte> bytes) {
  const auto sound = data::audio::decode(bytes, "fuzz");
  if (!sound) return sound.problem().message.find("expected a sound file") == std::string::npos;
  require(sound->rate > 0 && sound->channels > 0 && sound->channels <= data::audio::kMaxChannels, "channels and rate");
  require(sound->length() > 0 && sound->length() * sound->channels == std::ssize(sound->samples), "a ragged sound");
  for (const float sample : sound->samples) require(std::isfinite(sample), "a sample that is no number");
  return true;
}

constexpr size_t kWavHeader = 44;

/// Half the time behind the header of a WAV file, whose lengths are made to fit.
void change_sound(Bytes& bytes, const Change& change, std::mt19937& random) {
  const bool is_wav = text_of(bytes).starts_with("RIFF") && bytes.size() > kWavHeader;
  if (!is_wav) return change(bytes);
  change_behind(random() % 2 == 0 ? kWavHeader : 20, bytes, change);
  const auto put_length = [&](size_t at, size_t length) {
    for (size_t i = 0; i < 4 && at + i < bytes.size(); ++i) bytes[at + i] = static_cast<std::byte>(length >> (8 * i));
  };
  put_length(4, bytes.size() - 8);
  put_length(40, bytes.size() - std::min(kWavHeader, bytes.size()));
}

}  // namespace

const Target kTarget{.try_bytes = try_sound, .change_within = change_sound};

}  // namespace unireplk::test
