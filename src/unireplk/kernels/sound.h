#pragma once

#include <cstdint>
#include <memory_resource>
#include <vector>

/// Loops over sampled sound in float32. What a loop needs beside its arguments comes from the `memory` that it is
/// given.
namespace unireplk::kernels {

/// A triangle of the mel scale over FFT bins first .. first + count - 1.
struct MelTriangle {
  int64_t first = 0;
  int64_t count = 0;    ///< 0: no bin lies under it
  int64_t weights = 0;  ///< where its weights begin in LogMelTables::weights
};

/// What log_mel() needs to know of a rate; lengths in samples.
struct LogMelTables {
  int64_t frame = 0;               ///< length of a frame
  int64_t shift = 0;               ///< from the beginning of a frame to that of the next
  int64_t fft = 0;                 ///< a power of two >= frame, >= 4
  float pre_emphasis = 0;          ///< times the sample before, taken away from each
  float floor = 0;                 ///< > 0, of what the logarithm is taken of
  std::vector<float> window = {};  ///< [frame]
  std::vector<float> turns = {};   ///< [fft][2], cos and sin of -2 pi k / fft
  std::vector<MelTriangle> triangles = {};
  std::vector<float> weights = {};

  int64_t bins() const { return static_cast<int64_t>(triangles.size()); }
};

/// Logarithm of the mel spectrum of frames 0 .. frames - 1; frame i begins at sample i * shift. Of each frame: its mean
/// taken away, pre-emphasis (the first sample stands for the one before it), window, zeros up to `fft`, power spectrum,
/// triangles, logarithm. Source: spec/audio.md section 4.2.
///
/// \param samples  at least (frames - 1) * shift + frame.
/// \param out      [bins][row], of which each row's first `frames` are written.
void log_mel(const LogMelTables& tables, const float* samples, int64_t frames, float* out, int64_t row,
             std::pmr::memory_resource& memory);

/// A change of rate: out[m * phases + p] is the sum over t of weights[p][t] * in[m * step + first[p] + t], where `in`
/// is zero outside.
struct RateChange {
  int64_t step = 1;                 ///< input samples of a period
  int64_t phases = 1;               ///< output samples of a period
  int64_t taps = 0;                 ///< a multiple of kTapsOfRateChange
  std::vector<int64_t> first = {};  ///< [phases]
  std::vector<float> weights = {};  ///< [phases][taps]
};
inline constexpr int64_t kTapsOfRateChange = 16;

/// \param count  output samples, written to `out`.
void change_rate(const RateChange& change, const float* in, int64_t length, float* out, int64_t count,
                 std::pmr::memory_resource& memory);

}  // namespace unireplk::kernels
