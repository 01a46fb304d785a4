#include <cstdint>
#include <vector>

#include "support/catch.h"
#include "unireplk/kernels/cuda/row_plan.h"
#include "unireplk/kernels/cuda/sum_plan.h"

namespace unireplk::kernels::cuda {
namespace {

/// How often the threads that end up with a sum have added each value of tables [groups][rows][channels], by the halves
/// that a thread block does it in.
std::vector<int> additions(const SumPlan& plan) {
  const auto at = [&](int64_t group, int64_t row, int channel) {
    return static_cast<size_t>((group * plan.rows + row) * plan.channels + channel);
  };
  std::vector<int> counts(static_cast<size_t>(plan.groups * plan.rows * plan.channels));
  for (int64_t block = 0; block < plan.blocks(); ++block) {
    std::vector<std::vector<size_t>> held(static_cast<size_t>(plan.threads()));
    for (int thread = 0; thread < plan.threads(); ++thread) {
      const auto walk = plan.walk(block, thread);
      for (int64_t row = walk.first; row < walk.last; row += plan.teams) {
        held[static_cast<size_t>(thread)].push_back(at(walk.group, row, walk.channel));
      }
    }
    for (int teams = plan.teams / 2; teams > 0; teams /= 2) {
      for (int thread = 0; thread < plan.threads(); ++thread) {
        if (plan.team(thread) >= teams) continue;
        const auto& other = held.at(static_cast<size_t>(thread + teams * plan.columns));
        auto& mine = held[static_cast<size_t>(thread)];
        mine.insert(mine.end(), other.begin(), other.end());
      }
    }
    for (int thread = 0; thread < plan.threads(); ++thread) {
      const auto walk = plan.walk(block, thread);
      if (!plan.has_sum(walk, thread)) continue;
      for (const size_t i : held[static_cast<size_t>(thread)]) {
        const bool is_its_own = i % static_cast<size_t>(plan.channels) == static_cast<size_t>(walk.channel) &&
                                i / static_cast<size_t>(plan.rows * plan.channels) == static_cast<size_t>(walk.group);
        counts.at(i) += is_its_own ? 1 : 100;
      }
    }
  }
  return counts;
}

/// Threads that end up with the sum of each group and channel.
std::vector<int> owners(const SumPlan& plan) {
  std::vector<int> counts(static_cast<size_t>(plan.groups * plan.channels));
  for (int64_t block = 0; block < plan.blocks(); ++block) {
    for (int thread = 0; thread < plan.threads(); ++thread) {
      const auto walk = plan.walk(block, thread);
      if (plan.has_sum(walk, thread)) ++counts.at(static_cast<size_t>(walk.group * plan.channels + walk.channel));
    }
  }
  return counts;
}

TEST_CASE("sum plans: every value is added once, and each sum is one thread's", "[numeric]") {
  const auto [groups, rows, channels] = GENERATE(table<int64_t, int64_t, int64_t>({{1, 1, 1},
                                                                                   {1, 0, 7},
                                                                                   {0, 3, 7},
                                                                                   {3, 2, 9},
                                                                                   {1, 8, 80},
                                                                                   {2, 9, 80},
                                                                                   {5, 16, 33},
                                                                                   {1, 70000, 1},
                                                                                   {1, 2112, 80},
                                                                                   {70000, 1, 3},
                                                                                   {2, 100, 2560}}));
  CAPTURE(groups, rows, channels);
  const SumPlan plan(groups, rows, channels);
  CHECK(plan.threads() <= kSumThreads);
  CHECK(plan.threads() == plan.teams * plan.columns);
  CHECK(additions(plan) == std::vector<int>(static_cast<size_t>(groups * rows * channels), 1));
  CHECK(owners(plan) == std::vector<int>(static_cast<size_t>(groups * channels), 1));
}

TEST_CASE("sum plans: the moments of networks' maps are merged by many threads, of few rows each", "[numeric]") {
  const auto [pixels, channels] = GENERATE(table<int64_t, int64_t>({{3136, 80}, {784, 160}, {196, 320}, {49, 640}}));
  const RowPlan rows({128, pixels, channels}, kRowVector);
  const SumPlan plan(1, rows.blocks(), channels);
  CHECK(plan.blocks() * kFewestColumns >= channels);
  CHECK((plan.rows + plan.teams - 1) / plan.teams <= 5 * kRowsOfTeam);
}

}  // namespace
}  // namespace unireplk::kernels::cuda
