#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>

#include "unireplk/core/rng.h"

namespace unireplk::tasks {

/// What is drawn for a batch on the host; each has streams of its own.
enum class DrawnFor : uint32_t { kErasing = 1, kMixing = 2 };

/// Random values on the host that follow from the seed of a micro-step's generator, wherever that one lives: no value
/// has to come back from a device, and its own sequence stays as it is.
inline RandomStream stream_of(const at::Generator& generator, DrawnFor consumer, int64_t sample) {
  return Draw{.seed = generator.current_seed(), .epoch = 0, .item = sample}.stream(static_cast<uint32_t>(consumer));
}

}  // namespace unireplk::tasks
