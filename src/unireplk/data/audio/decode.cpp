#include <sndfile.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>

#include "unireplk/data/audio/sound.h"
#include "unireplk/data/audio/wav_header.h"

namespace unireplk::data::audio {
namespace {

/// Bytes in memory, as libsndfile reads a file.
struct MemoryFile {
  std::span<const std::byte> bytes;
  sf_count_t at = 0;

  sf_count_t size() const { return static_cast<sf_count_t>(bytes.size()); }
};

MemoryFile& file_of(void* data) { return *static_cast<MemoryFile*>(data); }

sf_count_t length_of(void* data) { return file_of(data).size(); }

sf_count_t seek_in(sf_count_t offset, int whence, void* data) {
  auto& file = file_of(data);
  const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file.at : file.size();
  const bool is_inside = offset >= -base && offset <= file.size() - base;
  if (!is_inside) return -1;
  file.at = base + offset;
  return file.at;
}

sf_count_t read_from(void* to, sf_count_t count, void* data) {
  auto& file = file_of(data);
  const sf_count_t taken = std::clamp<sf_count_t>(count, 0, file.size() - file.at);
  std::memcpy(to, file.bytes.data() + file.at, static_cast<size_t>(taken));
  file.at += taken;
  return taken;
}

sf_count_t tell_of(void* data) { return file_of(data).at; }

struct Closer {
  void operator()(SNDFILE* file) const { sf_close(file); }
};
using Handle = std::unique_ptr<SNDFILE, Closer>;

/// Frames in the order of the file, then channel by channel.
class Frames {
 public:
  explicit Frames(int64_t channels) : channels_(channels) {}

  /// \return what is wrong with the file, or nothing.
  std::optional<std::string> read(SNDFILE* file) {
    std::array<float, kPiece> piece{};
    const sf_count_t most = kPiece / channels_;
    sf_count_t frames = 0;
    while ((frames = sf_readf_float(file, piece.data(), most)) > 0) {
      interleaved_.insert(interleaved_.end(), piece.begin(), piece.begin() + frames * channels_);
      if (std::ssize(interleaved_) > kMaxSamples) return format("expected at most {} samples, got more", kMaxSamples);
    }
    if (sf_error(file) != SF_ERR_NO_ERROR) return format("the sound cannot be decoded: {}", sf_strerror(file));
    return std::nullopt;
  }

  int64_t length() const { return std::ssize(interleaved_) / channels_; }

  std::optional<std::string> first_unusable() const {
    const auto found = std::ranges::find_if(interleaved_, [](float value) { return !std::isfinite(value); });
    if (found == interleaved_.end()) return std::nullopt;
    return format("sample {} is no finite number", (found - interleaved_.begin()) / channels_);
  }

  std::vector<float> by_channel() && {
    if (channels_ == 1) return std::move(interleaved_);
    std::vector<float> planes(interleaved_.size());
    for (int64_t c = 0; c < channels_; ++c) {
      for (int64_t i = 0; i < length(); ++i) planes[c * length() + i] = interleaved_[i * channels_ + c];
    }
    return planes;
  }

 private:
  static constexpr int64_t kPiece = 16384;
  int64_t channels_;
  std::vector<float> interleaved_;
};

/// The length that a header claims, where the format has one that its data must fill.
std::optional<int64_t> promised_length(const SF_INFO& info) {
  const int container = info.format & SF_FORMAT_TYPEMASK;
  const bool is_known = info.frames > 0 && info.frames < SF_COUNT_MAX;
  return container == SF_FORMAT_FLAC && is_known ? std::optional<int64_t>(info.frames) : std::nullopt;
}

std::optional<std::string> check_header(const SF_INFO& info) {
  if (info.channels < 1 || info.channels > kMaxChannels) {
    return format("expected 1 to {} channels, got {}", kMaxChannels, info.channels);
  }
  if (info.samplerate < 1 || info.samplerate > kMaxRate) {
    return format("expected a sample rate of 1 to {} Hz, got {}", kMaxRate, info.samplerate);
  }
  const bool is_unknown = info.frames >= SF_COUNT_MAX || info.frames < 0;
  if (!is_unknown && info.frames > kMaxSamples / info.channels) {
    return format("expected at most {} samples, got {} of {} channels", kMaxSamples, info.frames, info.channels);
  }
  return std::nullopt;
}

constexpr const char* kCutShort = "Copy the file again: it is cut short.";

Result<Sound> read_sound(SNDFILE* file, const SF_INFO& info, const std::string& place) {
  if (const auto wrong = check_header(info)) return Problem{place, *wrong, "Convert it to one that fits."};
  Frames frames(info.channels);
  if (const auto wrong = frames.read(file)) return Problem{place, *wrong, "Check the file."};
  const auto promised = promised_length(info);
  if (promised && frames.length() < *promised) {
    return Problem{place, format("expected {} samples, got {}", *promised, frames.length()), kCutShort};
  }
  if (frames.length() == 0) return Problem{place, "expected sound, got no sample", "Remove the file."};
  if (const auto wrong = frames.first_unusable()) return Problem{place, *wrong, "Write the file anew."};
  return Sound{.rate = info.samplerate, .channels = info.channels, .samples = std::move(frames).by_channel()};
}

}  // namespace

Result<Sound> decode(std::span<const std::byte> bytes, const std::string& place) {
  if (bytes.empty()) return Problem{place, "expected a sound file, got an empty file", "Remove it."};
  if (const auto missing = missing_wav_bytes(bytes); missing > 0) {
    return Problem{place, format("the header promises {} bytes more of samples than there are", missing), kCutShort};
  }
  MemoryFile memory{.bytes = bytes};
  SF_VIRTUAL_IO reader{.get_filelen = length_of, .seek = seek_in, .read = read_from, .write = nullptr, .tell = tell_of};
  SF_INFO info{};
  const Handle file(sf_open_virtual(&reader, SFM_READ, &info, &memory));
  if (!file) {
    return Problem{place, format("expected a sound file (WAV, FLAC, Ogg, ...), got none: {}", sf_strerror(nullptr)),
                   "Check the file."};
  }
  return read_sound(file.get(), info, place);
}

}  // namespace unireplk::data::audio
