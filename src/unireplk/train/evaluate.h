#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "unireplk/data/loader.h"
#include "unireplk/tasks/task.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::train {

/// Metrics of the task's network, as it is, over all batches of `loader`.
///
/// \param autocast        what the network runs under.
/// \param stop_requested  asked before every batch; may be empty.
/// \return nothing when asked to stop. A warning tells when samples could not be read.
std::optional<std::vector<tasks::Metric>> evaluate(tasks::Task& task, data::Loader& loader,
                                                   const AutocastSettings& autocast = {},
                                                   const std::function<bool()>& stop_requested = {});

}  // namespace unireplk::train
