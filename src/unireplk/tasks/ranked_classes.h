#pragma once

#include <vector>

#include "unireplk/tasks/task.h"

namespace unireplk::tasks {

/// Classes of each sample, best first. A head may have more classes than the data name.
/// \param scores  [B, classes], double.
std::vector<Prediction> ranked_classes(const at::Tensor& scores, const std::vector<SampleKey>& keys,
                                       const DataInfo& info);

}  // namespace unireplk::tasks
