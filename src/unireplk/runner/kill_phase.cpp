#include "unireplk/runner/kill_phase.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "unireplk/io/files.h"
#include "unireplk/train/checkpoint_store.h"
#include "unireplk/train/run_folder.h"
#include "unireplk/train/trainer.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

struct MetricsLine {
  bool is_validation = false;
  int64_t step = 0;
};

/// The lines of a metrics file that are whole.
std::vector<MetricsLine> metrics_of(const fs::path& run) {
  const fs::path file = run / "metrics.jsonl";
  std::vector<MetricsLine> lines;
  if (!fs::exists(file)) return lines;
  const std::string text = io::read_file(file);
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const auto line = nlohmann::json::parse(text.begin() + begin, text.begin() + end);
    lines.push_back({line.at("kind") == "validation", line.at("step")});
  }
  return lines;
}

bool has_resumed(std::string_view said) {
  return said.find(train::kResumed) != std::string_view::npos ||
         said.find(train::kNothingToResume) != std::string_view::npos;
}

int64_t saved_step(const fs::path& run) {
  const auto steps = train::CheckpointStore::steps_in(train::checkpoints_of(run));
  return steps.empty() ? 0 : steps.back();
}

}  // namespace

std::string_view name_of(KillPhase phase) { return std::ranges::find(kKillPhases, phase, &KillPhaseText::phase)->name; }

Course course_of(const fs::path& run) {
  Course course;
  for (const auto& line : metrics_of(run)) {
    if (line.is_validation) course.validations.insert(line.step);
    course.last_step = line.step;
  }
  return course;
}

KillPhase phase_of_kill(const fs::path& run, std::string_view said, const Course& course) {
  if (!has_resumed(said)) return KillPhase::kStart;
  if (train::CheckpointStore::has_leftovers(train::checkpoints_of(run))) return KillPhase::kCheckpoint;
  if (saved_step(run) == course.last_step) return KillPhase::kEnd;
  // Before a validation the records of all steps up to it are written, after it its own.
  const auto lines = metrics_of(run);
  const bool validates =
      !lines.empty() && !lines.back().is_validation && course.validations.contains(lines.back().step);
  return validates ? KillPhase::kValidation : KillPhase::kSteps;
}

}  // namespace unireplk::runner
