#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <numbers>
#include <string>
#include <vector>

#include "support/files.h"
#include "support/temporary_folder.h"

namespace unireplk::test {

/// A number of a WAV file, in the bytes it has there.
inline std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return text;
}

struct WavFormat {
  int64_t rate = 16000;
  int channels = 1;
  int bits = 16;
  bool is_float = false;
};

/// A WAV file around samples that are bytes already.
inline std::string wav_file(const std::string& samples, const WavFormat& format = {}) {
  const auto block = static_cast<uint64_t>(format.channels * format.bits / 8);
  const std::string fmt = little_endian(format.is_float ? 3 : 1, 2) +
                          little_endian(static_cast<uint64_t>(format.channels), 2) +
                          little_endian(static_cast<uint64_t>(format.rate), 4) +
                          little_endian(static_cast<uint64_t>(format.rate) * block, 4) + little_endian(block, 2) +
                          little_endian(static_cast<uint64_t>(format.bits), 2);
  return "RIFF" + little_endian(36 + samples.size(), 4) + "WAVEfmt " + little_endian(16, 4) + fmt + "data" +
         little_endian(samples.size(), 4) + samples;
}

/// 16 bits, mono.
inline std::string wav_of(const std::vector<int>& samples, int64_t rate = 16000) {
  std::string bytes;
  for (const int sample : samples) bytes += little_endian(static_cast<uint64_t>(sample), 2);
  return wav_file(bytes, {.rate = rate});
}

inline std::string tone(double hz, int64_t samples, int64_t rate = 16000) {
  std::vector<int> values;
  for (int64_t i = 0; i < samples; ++i) {
    const double angle = 2 * std::numbers::pi * hz * static_cast<double>(i) / static_cast<double>(rate);
    values.push_back(static_cast<int>(8000 * std::sin(angle)));
  }
  return wav_of(values, rate);
}

inline std::vector<std::byte> bytes_of(const std::string& text) {
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

inline std::pmr::memory_resource& memory() { return *std::pmr::get_default_resource(); }

/// The waveform of spec/audio.md section 4.4, with its mean.
inline std::vector<float> spec_waveform() {
  constexpr double kTurn = 2 * std::numbers::pi;
  std::vector<float> x;
  uint64_t state = 12345;
  for (int n = 0; n < 16000; ++n) {
    state = (1103515245 * state + 12345) % (uint64_t{1} << 31);
    const double t = n / 16000.0, noise = static_cast<double>(state) / 2147483648.0 - 0.5;
    x.push_back(static_cast<float>(0.3 * std::sin(kTurn * 440 * t) + 0.2 * std::sin(kTurn * (200 * t + 1500 * t * t)) +
                                   0.1 * noise + 0.01));
  }
  return x;
}

}  // namespace unireplk::test
