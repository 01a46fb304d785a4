#include "unireplk/analysis/plan.h"

#include "support/catch.h"

namespace unireplk::analysis {
namespace {

/// A machine on which a sample takes 10 MiB and 2 ms, all of them together `holds` MiB, and 100 the program.
struct Machine {
  double holds;
  std::vector<int64_t> asked = {};

  MicroBatchCost operator()(int64_t size) {
    asked.push_back(size);
    const double mib = 100 + 10 * static_cast<double>(size);
    if (mib > holds) return {.size = size};
    return {.size = size, .fits = true, .peak_mib = mib, .step_ms = 2 * static_cast<double>(size)};
  }
};

std::vector<int64_t> sizes_of(const std::vector<MicroBatchCost>& costs) {
  std::vector<int64_t> sizes;
  for (const auto& cost : costs) sizes.push_back(cost.size);
  return sizes;
}

TEST_CASE("plan: sizes double until memory, data, time or the machine's limit ends it", "[numeric]") {
  struct Case {
    double holds;
    PlanLimits limits;
    std::vector<int64_t> sizes;
  };
  const auto tried = GENERATE(
      Case{1000, {.most = 10000, .most_ms = 1e6}, {8, 16, 32, 64, 128}},
      Case{1e9, {.most = 70, .most_ms = 1e6}, {8, 16, 32, 64}}, Case{1e9, {.most = 1000, .most_ms = 64}, {8, 16, 32}},
      Case{1e9, {.most = 1000, .most_ms = 1e6, .most_mib = 740}, {8, 16, 32, 64}},
      Case{1e9, {.most = 1000, .most_ms = 1e6, .most_mib = 739}, {8, 16, 32}},
      Case{1e9, {.most = 1000, .most_ms = 1e6, .most_mib = 359}, {8}});  // twice 180 would be too much
  Machine machine{tried.holds};
  const auto costs = search_micro_batches(8, tried.limits, std::ref(machine));
  CHECK(machine.asked == tried.sizes);
  CHECK(sizes_of(costs) == tried.sizes);
  CHECK(costs.front().samples_per_second() == Approx(500));
}

TEST_CASE("plan: what does not fit is halved, as far as samples allow", "[numeric]") {
  Machine machine{200};
  CHECK(sizes_of(search_micro_batches(48, {.most = 1000, .most_ms = 1e6}, std::ref(machine))) ==
        std::vector<int64_t>{6, 12, 24, 48});
  Machine small{130};
  const auto costs = search_micro_batches(48, {.multiple = 2, .most = 1000, .most_ms = 1e6}, std::ref(small));
  CHECK(sizes_of(costs) == std::vector<int64_t>{6, 12, 24, 48});
  CHECK(largest_part_of(48, costs) == nullptr);
}

TEST_CASE("plan: a step is made of the largest part of it that fits", "[numeric]") {
  Machine machine{1000};
  const auto costs = search_micro_batches(8, {.most = 10000, .most_ms = 1e6}, std::ref(machine));  // 64 fit
  CHECK(largest_part_of(64, costs)->size == 64);
  CHECK(largest_part_of(48, costs)->size == 16);
  CHECK(largest_part_of(7, costs) == nullptr);
}

}  // namespace
}  // namespace unireplk::analysis
