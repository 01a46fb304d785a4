#pragma once

#include "unireplk/train/run_clock.h"
#include "unireplk/train/train_config.h"

namespace unireplk::train {

/// How long a run is whose data give so many micro-batches an epoch. \throws UserError when they make no full step.
RunLength run_length(const TrainConfig& config, int64_t batches_per_epoch);

}  // namespace unireplk::train
