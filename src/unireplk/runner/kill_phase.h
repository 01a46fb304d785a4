#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string_view>

namespace unireplk::runner {

/// What a training was at when it was killed.
enum class KillPhase { kStart, kSteps, kValidation, kCheckpoint, kEnd };

struct KillPhaseText {
  KillPhase phase = KillPhase::kStart;
  std::string_view name;
  std::string_view meaning;
};

/// All phases, in order.
inline constexpr std::array<KillPhaseText, 5> kKillPhases{{
    {KillPhase::kStart, "start", "before a checkpoint was taken up"},
    {KillPhase::kSteps, "steps", "at a step, or while an old checkpoint was removed"},
    {KillPhase::kValidation, "validation", "before its result was recorded"},
    {KillPhase::kCheckpoint, "checkpoint", "one lay half written, while steps or a validation went on"},
    {KillPhase::kEnd, "end", "after the last checkpoint"},
}};

std::string_view name_of(KillPhase phase);

/// Where a training passes when nobody kills it.
struct Course {
  std::set<int64_t> validations;  ///< steps after which it validates
  int64_t last_step = 0;
};

/// \param run  folder of a training that has come to its end.
Course course_of(const std::filesystem::path& run);

/// Tell from what a killed process has left, before another one takes up its folder.
///
/// \param run   its folder.
/// \param said  its log, of this process alone.
KillPhase phase_of_kill(const std::filesystem::path& run, std::string_view said, const Course& course);

}  // namespace unireplk::runner
