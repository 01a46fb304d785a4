#pragma once

#include <cstdint>

/// How the rows of tables [groups][rows][channels] are added up, those of each group. Plain numbers, so that the host
/// can check them; of the shape alone, so that sums are the same bits every time.
namespace unireplk::kernels::cuda {

inline constexpr int kSumThreads = 512;   ///< of a thread block, at most
inline constexpr int kFewestColumns = 8;  ///< of a thread block, neighbouring channels: a sector of memory
inline constexpr int kRowsOfTeam = 8;     ///< of a thread that has as many: what it waits for at once

/// What a thread adds up: rows first, first + teams, ... before last, at one channel.
struct SumWalk {
  int64_t group = 0;
  int64_t first = 0, last = 0;  ///< the same where there is nothing to do
  int channel = 0;
};

/// A thread block takes a strip of channels of one group; its threads lie in teams, a row each, whose sums are added up
/// by halves.
struct SumPlan {
  int64_t groups, rows;
  int channels;
  int teams = 1, columns = kFewestColumns;  ///< powers of two
  int strips = 0;

  constexpr SumPlan(int64_t of_groups, int64_t of_rows, int64_t of_channels)
      : groups(of_groups), rows(of_rows), channels(static_cast<int>(of_channels)) {
    while (teams * kFewestColumns < kSumThreads && int64_t{teams} * kRowsOfTeam < rows) teams *= 2;
    while (teams * columns < kSumThreads && columns < channels) columns *= 2;
    strips = (channels + columns - 1) / columns;
  }

  constexpr int threads() const { return teams * columns; }
  constexpr int64_t blocks() const { return groups * strips; }

  constexpr int team(int thread) const { return thread / columns; }

  constexpr SumWalk walk(int64_t block, int thread) const {
    const auto number = static_cast<uint32_t>(block), of_group = static_cast<uint32_t>(strips);  // fewer than 2^31
    SumWalk walk{.group = number / of_group};
    walk.channel = static_cast<int>(number % of_group) * columns + thread % columns;
    if (walk.channel >= channels) return walk;
    walk.last = rows;
    walk.first = team(thread) < rows ? team(thread) : rows;
    return walk;
  }

  /// Whether a thread of a block ends up with the sum of its channel.
  constexpr bool has_sum(const SumWalk& walk, int thread) const { return team(thread) == 0 && walk.channel < channels; }
};

}  // namespace unireplk::kernels::cuda
