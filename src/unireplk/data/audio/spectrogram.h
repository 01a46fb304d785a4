#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "unireplk/core/rng.h"

/// What happens to the spectrogram of one sample, bins x frames: spec/audio.md section 3, steps 6 to 8.
namespace unireplk::data::audio {

/// Rows or columns first .. first + count - 1.
struct Stripe {
  int64_t first = 0;
  int64_t count = 0;

  bool holds(int64_t i) const { return i >= first && i < first + count; }
};

/// A stripe of 0 to most - 1 of `length`, at any place, as torchaudio draws it; an empty one where `most` is 0.
Stripe draw_stripe(int64_t length, int64_t most, RandomStream& random);

struct Masks {
  Stripe bins;
  Stripe frames;
};

/// In place: zero under the masks, then (x - mean) / (2 std).
void mask_and_normalise(std::span<float> map, int64_t frames, const Masks& masks, double mean, double std);

/// In place: add to each value its own uniform number times one of [0, 0.1), which `random` gives first.
void add_noise(std::span<float> map, RandomStream& random);

/// In place: frame i moves to place i + by, around the end.
void roll(std::span<float> map, int64_t frames, int64_t by);

}  // namespace unireplk::data::audio
