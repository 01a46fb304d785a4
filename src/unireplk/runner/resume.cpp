#include "unireplk/runner/resume.h"

#include <algorithm>
#include <array>

#include "unireplk/config/dump.h"

namespace unireplk::runner {
namespace {

/// Keys, with everything below them, that a resumed run may change.
constexpr std::array kFreeKeys = std::to_array<std::string_view>({
    "plugins",
    "name",
    "output",
    "device",
    "threads",
    "data.loader.workers",
    "data.loader.prefetch",
    "data.loader.max_bad_fraction",
    "task.baselines",
    "train.checkpoint",
    "train.cuda_graphs",
    "train.halve_on_out_of_memory",
    "train.log_every",
    "train.profile",
    "train.time_budget",
});

/// Whether a key says where data lie, rather than what they are.
bool is_place_of_data(std::string_view key) {
  constexpr std::array kPlaces =
      std::to_array<std::string_view>({"root", "folder", "file", "images", "labels", "index", "inputs", "targets"});
  constexpr std::array kSets = std::to_array<std::string_view>({"data.train.", "data.validation.", "data.test."});
  if (std::ranges::none_of(kSets, [&](std::string_view set) { return key.starts_with(set); })) return false;
  return std::ranges::find(kPlaces, key.substr(key.rfind('.') + 1)) != kPlaces.end();
}

bool may_change(std::string_view key) {
  if (is_place_of_data(key)) return true;
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
