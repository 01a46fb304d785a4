#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

/// How large a micro-batch memory holds: the search behind `unireplk plan`.
namespace unireplk::analysis {

/// What a few training steps of one micro-batch each were like.
struct MicroBatchCost {
  int64_t size = 0;  ///< samples
  bool fits = false;
  double peak_mib = 0;  ///< of the process, on a GPU of what it has taken there
  double step_ms = 0;   ///< median

  double samples_per_second() const { return static_cast<double>(size) / step_ms * 1e3; }
};

struct PlanLimits {
  int64_t multiple = 1;  ///< samples of a micro-batch come in multiples of this
  int64_t most = 0;      ///< samples of the data set
  double most_ms = 0;    ///< sizes of which a step takes longer, by the time of half of it, are not tried
  std::optional<double> most_mib = {};  ///< sizes that take more, by the line through two others, are not tried
};

/// Measure `size` and double it until memory or limits end that, or halve it until it fits.
/// \return all that were measured, from the smallest on.
std::vector<MicroBatchCost> search_micro_batches(int64_t size, const PlanLimits& limits,
                                                 const std::function<MicroBatchCost(int64_t)>& measure);

/// The largest that fits and divides `total`, the samples of an optimizer step; null when there is none.
const MicroBatchCost* largest_part_of(int64_t total, const std::vector<MicroBatchCost>& costs);

}  // namespace unireplk::analysis
