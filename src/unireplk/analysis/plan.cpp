#include "unireplk/analysis/plan.h"

#include <algorithm>

namespace unireplk::analysis {
namespace {

/// What twice the size of the last takes: memory is a line over the size. From one measurement alone, twice as much.
double doubled_mib(const std::vector<MicroBatchCost>& costs) {
  const double last = costs.back().peak_mib;
  return costs.size() == 1 ? 2 * last : last + 2 * (last - costs[costs.size() - 2].peak_mib);
}

bool may_double(const std::vector<MicroBatchCost>& costs, const PlanLimits& limits) {
  const MicroBatchCost& last = costs.back();
  return last.fits && 2 * last.size <= limits.most && 2 * last.step_ms <= limits.most_ms &&
         (!limits.most_mib || doubled_mib(costs) <= *limits.most_mib);
}

}  // namespace

std::vector<MicroBatchCost> search_micro_batches(int64_t size, const PlanLimits& limits,
                                                 const std::function<MicroBatchCost(int64_t)>& measure) {
  std::vector<MicroBatchCost> costs{measure(size)};
  if (costs.front().fits) {
    while (may_double(costs, limits)) costs.push_back(measure(2 * costs.back().size));
    return costs;
  }
  while (!costs.back().fits && costs.back().size % (2 * limits.multiple) == 0) {
    costs.push_back(measure(costs.back().size / 2));
  }
  std::ranges::reverse(costs);
  return costs;
}

const MicroBatchCost* largest_part_of(int64_t total, const std::vector<MicroBatchCost>& costs) {
  const MicroBatchCost* largest = nullptr;
  for (const auto& cost : costs) {
    if (cost.fits && total % cost.size == 0) largest = &cost;
  }
  return largest;
}

}  // namespace unireplk::analysis
