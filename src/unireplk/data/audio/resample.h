#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "unireplk/kernels/sound.h"

namespace unireplk::data::audio {

/// A band-limited change of rate, in Hz: sinc of six zero crossings on each side under a squared cosine, cut off at
/// 0.99 of the lower Nyquist frequency. Source: spec/audio.md section 2.5.
kernels::RateChange rate_change(int64_t from, int64_t to);

/// Samples of the result: ceil(length * phases / step).
int64_t changed_length(const kernels::RateChange& change, int64_t length);

/// The sound at the other rate.
std::vector<float> change_rate(const kernels::RateChange& change, std::span<const float> in,
                               std::pmr::memory_resource& memory);

}  // namespace unireplk::data::audio
