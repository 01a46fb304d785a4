#include "unireplk/data/audio/filterbank.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "unireplk/core/error.h"

namespace unireplk::data::audio {
namespace {

constexpr double kLowHz = 20, kFrameMs = 25, kShiftMs = 10;
constexpr double kPreEmphasis = 0.97, kPoveyPower = 0.85;

double mel(double hz) { return 1127 * std::log(1 + hz / 700); }

int64_t samples_in(double ms, int64_t rate) { return static_cast<int64_t>(static_cast<double>(rate) * ms * 0.001); }

std::vector<float> window_of(int64_t length, Window window) {
  std::vector<float> values;
  for (int64_t j = 0; j < length; ++j) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(j) / static_cast<double>(length - 1);
    const double hann = 0.5 - 0.5 * std::cos(angle);
    values.push_back(static_cast<float>(window == Window::kPovey ? std::pow(hann, kPoveyPower) : hann));
  }
  return values;
}

std::vector<float> turns_of(int64_t count) {
  std::vector<float> turns;
  for (int64_t k = 0; k < count; ++k) {
    const double angle = -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(count);
    turns.push_back(static_cast<float>(std::cos(angle)));
    turns.push_back(static_cast<float>(std::sin(angle)));
  }
  return turns;
}

/// Triangles that are linear in mel, with peak 1.
void add_triangles(const FilterbankOptions& options, kernels::LogMelTables& tables) {
  const double nyquist = static_cast<double>(options.rate) / 2;
  const double low = mel(kLowHz);
  const double width = (mel(nyquist) - low) / static_cast<double>(options.bins + 1);
  for (int64_t b = 0; b < options.bins; ++b) {
    const double left = low + static_cast<double>(b) * width;
    kernels::MelTriangle triangle{.weights = std::ssize(tables.weights)};
    for (int64_t k = 0; k < tables.fft / 2; ++k) {
      const double place = mel(static_cast<double>(k * options.rate) / static_cast<double>(tables.fft));
      const double weight = std::min((place - left) / width, (left + 2 * width - place) / width);
      if (weight <= 0) continue;
      if (triangle.count++ == 0) triangle.first = k;
      tables.weights.push_back(static_cast<float>(weight));
    }
    tables.triangles.push_back(triangle);
  }
}

kernels::LogMelTables tables_of(const FilterbankOptions& options) {
  const int64_t frame = samples_in(kFrameMs, options.rate);
  UNIREPLK_CHECK(frame >= 2, "filterbank: a rate of {} Hz leaves {} samples a frame", options.rate, frame);
  const auto fft = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(frame, 4))));
  kernels::LogMelTables tables{.frame = frame,
                               .shift = samples_in(kShiftMs, options.rate),
                               .fft = fft,
                               .pre_emphasis = static_cast<float>(kPreEmphasis),
                               .floor = std::numeric_limits<float>::epsilon(),
                               .window = window_of(frame, options.window),
                               .turns = turns_of(fft)};
  add_triangles(options, tables);
  return tables;
}

}  // namespace

Filterbank::Filterbank(const FilterbankOptions& options) : tables_(tables_of(options)) {}

int64_t Filterbank::frames(int64_t samples) const {
  return samples < tables_.frame ? 0 : 1 + (samples - tables_.frame) / tables_.shift;
}

void Filterbank::apply(std::span<const float> samples, float* out, int64_t row,
                       std::pmr::memory_resource& memory) const {
  kernels::log_mel(tables_, samples.data(), std::min(frames(std::ssize(samples)), row), out, row, memory);
}

std::vector<float> Filterbank::mel_weights() const {
  const int64_t columns = tables_.fft / 2;
  std::vector<float> dense(static_cast<size_t>(tables_.bins() * columns));
  for (int64_t b = 0; b < tables_.bins(); ++b) {
    const auto& triangle = tables_.triangles[static_cast<size_t>(b)];
    std::copy_n(tables_.weights.begin() + triangle.weights, triangle.count,
                dense.begin() + b * columns + triangle.first);
  }
  return dense;
}

}  // namespace unireplk::data::audio
