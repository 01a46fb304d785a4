#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>
#include <vector>

#include "unireplk/kernels/sound.h"

namespace unireplk::data::audio {

/// What frames are multiplied with: Hann, or Kaldi's own, which is Hann to the power 0.85.
enum class Window { kHann, kPovey };

struct FilterbankOptions {
  int64_t rate = 16000;  ///< Hz
  int64_t bins = 128;
  Window window = Window::kHann;
};

/// Kaldi's log-mel filterbank: frames of 25 ms, one each 10 ms, pre-emphasis 0.97, power spectrum, triangles from 20 Hz
/// to half the rate. Source: spec/audio.md section 4. Thread-safe.
class Filterbank {
 public:
  /// \throws ContractError for a rate that leaves a frame less than two samples.
  explicit Filterbank(const FilterbankOptions& options);

  int64_t frame_samples() const { return tables_.frame; }

  /// Whole frames of this many samples; none when it is shorter than one.
  int64_t frames(int64_t samples) const;

  /// \param samples  the waveform, its mean taken away.
  /// \param out      [bins][row]; the first min(frames(samples), row) values of each row are written.
  void apply(std::span<const float> samples, float* out, int64_t row, std::pmr::memory_resource& memory) const;

  /// Weights [bins][fft / 2] of the triangles.
  std::vector<float> mel_weights() const;

 private:
  kernels::LogMelTables tables_;
};

}  // namespace unireplk::data::audio
