#include "unireplk/data/audio/spectrogram.h"

#include <algorithm>
#include <cmath>

namespace unireplk::data::audio {
namespace {

constexpr double kMostNoise = 0.1;

}  // namespace

Stripe draw_stripe(int64_t length, int64_t most, RandomStream& random) {
  if (most < 1) return {};
  const double size = random.uniform() * static_cast<double>(most);
  const double first = random.uniform() * (static_cast<double>(length) - size);
  return {.first = static_cast<int64_t>(first), .count = static_cast<int64_t>(size)};
}

void mask_and_normalise(std::span<float> map, int64_t frames, const Masks& masks, double mean, double std) {
  const auto shift = static_cast<float>(mean), scale = static_cast<float>(2 * std);
  const float masked = (0 - shift) / scale;
  for (int64_t bin = 0; bin * frames < std::ssize(map); ++bin) {
    const auto row = map.subspan(static_cast<size_t>(bin * frames), static_cast<size_t>(frames));
    if (masks.bins.holds(bin)) {
      std::ranges::fill(row, masked);
      continue;
    }
    for (float& value : row) value = (value - shift) / scale;
    std::fill_n(row.begin() + masks.frames.first, masks.frames.count, masked);
  }
}

void add_noise(std::span<float> map, RandomStream& random) {
  const auto most = static_cast<float>(random.uniform(0, kMostNoise));
  for (float& value : map) value += static_cast<float>(random.bits() >> 8) * 0x1p-24F * most;
}

void roll(std::span<float> map, int64_t frames, int64_t by) {
  const int64_t first = ((-by) % frames + frames) % frames;  // which frame comes to lie in front
  for (auto row = map.begin(); row != map.end(); row += frames) std::rotate(row, row + first, row + frames);
}

}  // namespace unireplk::data::audio
