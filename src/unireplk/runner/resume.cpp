#include "unireplk/runner/resume.h"

#include <algorithm>
#include <array>

#include "unireplk/config/dump.h"

namespace unireplk::runner {
namespace {

/// Keys, with everything below them, that a resumed run may change.
constexpr std::array kFreeKeys = std::to_array<std::string_view>({
    "output",
    "device",
    "threads",
    "data.loader.workers",
    "data.loader.prefetch",
    "data.loader.max_bad_fraction",
    "train.checkpoint",
    "train.log_every",
    "train.time_budget",
    // Where the data lie, not what they are.
    "data.train.root",
    "data.train.images",
    "data.train.labels",
    "data.validation.root",
    "data.validation.images",
    "data.validation.labels",
});

bool may_change(std::string_view key) {
  return std::any_of(kFreeKeys.begin(), kFreeKeys.end(), [&](std::string_view free) {
    return key.starts_with(free) && (key.size() == free.size() || key[free.size()] == '.');
  });
}

}  // namespace

void check_resumable(const std::string& earlier, const ExperimentConfig& config, const config::Registries& registries,
                     const std::filesystem::path& run_folder) {
  const auto place = (run_folder / "config.yaml").string();
  const auto before = config::parse<ExperimentConfig>(config::load_text(earlier, place), registries);
  std::vector<Problem> problems;
  for (const auto& [key, started_with, now] : config::diff(before, config)) {
    if (may_change(key)) continue;
    const auto shown = [](const std::string& value) { return value.empty() ? "nothing" : value; };
    problems.push_back({place, format("{}: the run was started with {}, got {}", key, shown(started_with), shown(now)),
                        "A resumed run cannot change it: restore the value, or give the run another name."});
  }
  if (!problems.empty()) throw UserError(std::move(problems));
}

}  // namespace unireplk::runner
