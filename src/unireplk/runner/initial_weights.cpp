#include "unireplk/runner/initial_weights.h"

#include <algorithm>

#include "unireplk/core/log.h"
#include "unireplk/io/weight_file.h"
#include "unireplk/runner/weights.h"
#include "unireplk/train/run_folder.h"

namespace unireplk::runner {
namespace {

/// "stages.2" of "stages.2.17.norm.weight", "head" of "head.weight".
std::string part_of(const std::string& name) {
  const auto first = name.find('.');
  const bool is_numbered =
      first != std::string::npos && first + 1 < name.size() && name[first + 1] >= '0' && name[first + 1] <= '9';
  return name.substr(0, is_numbered ? name.find('.', first + 1) : first);
}

std::string_view to_text(models::Fate fate) {
  switch (fate) {
    case models::Fate::kLoaded:
      return "loaded";
    case models::Fate::kAdapted:
      return "adapted";
    case models::Fate::kFresh:
      return "initialised";
    case models::Fate::kUnused:
      return "left out";
  }
  throw ContractError("a fate without a name");
}

/// Tensors of one part that fared alike.
struct Group {
  std::string part;
  const models::TransferRow* first;
  int64_t count = 0;

  bool holds(const models::TransferRow& row) const {
    return part == part_of(row.name) && first->fate == row.fate && first->reason == row.reason;
  }
};

std::vector<Group> groups_of(const std::vector<models::TransferRow>& rows) {
  std::vector<Group> groups;
  for (const auto& row : rows) {
    auto group = std::ranges::find_if(groups, [&](const auto& one) { return one.holds(row); });
    if (group == groups.end()) group = groups.insert(group, {.part = part_of(row.name), .first = &row});
    ++group->count;
  }
  return groups;
}

/// The best checkpoint of a run, the latest when none was measured; nothing for the folder of a checkpoint.
std::string usual_checkpoint(const std::filesystem::path& weights) {
  const auto run = run_of(weights);
  if (run != weights) return {};
  return std::filesystem::exists(train::checkpoints_of(run) / "best") ? "best" : "latest";
}

}  // namespace

InitialWeights read_initial_weights(const InitConfig& config, const config::Registries& registries) {
  require_existing(config.weights);
  if (!is_run(config.weights)) {
    return {config.weights.string(), io::read_weights(config.weights, config.key).content.tensors};
  }
  if (!config.key.empty()) {
    throw UserError({"init.key", format("expected nothing for a run, got \"{}\"", config.key), "Leave it out."});
  }
  const auto file =
      open_run(config.weights, {.checkpoint = usual_checkpoint(config.weights), .weights = {}}, {}, registries)
          .weights_file;
  return {file.string(), io::read_weights(file).content.tensors};
}

std::string transfer_table(const std::vector<models::TransferRow>& rows) {
  const auto groups = groups_of(rows);
  size_t width = 0;
  for (const auto& group : groups) width = std::max(width, group.part.size());
  std::string text;
  for (const auto& [part, first, count] : groups) {
    text += format("\n  {:<{}}  {:>3} tensors  {}", part, width, count, to_text(first->fate));
    if (!first->reason.empty()) text += ": " + first->reason;
    if (!first->detail.empty()) text += format(" ({} {})", first->name, first->detail);
  }
  return text;
}

void initialise_from(const InitConfig& config, torch::nn::Module& network, const config::Registries& registries) {
  const auto [place, tensors] = read_initial_weights(config, registries);
  const auto rows = models::transfer(
      network, tensors,
      {.place = place, .rename = config.map, .skip = config.skip, .stem = config.stem, .partial = config.partial});
  log_info("init: {}{}", place, transfer_table(rows));
}

}  // namespace unireplk::runner
