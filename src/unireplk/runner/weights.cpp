#include "unireplk/runner/weights.h"

#include <CLI/CLI.hpp>

#include "unireplk/io/files.h"
#include "unireplk/io/tensor_file.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/train/checkpoint.h"
#include "unireplk/train/run_folder.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxPointerBytes = 256;

bool is_there(const fs::path& path) {
  std::error_code error;  // a name too long to exist does not
  return fs::exists(path, error);
}

bool is_checkpoint(const fs::path& path) { return is_there(path / "state.json"); }

/// The folder that `latest` or `best` names, or that bears the name itself.
fs::path checkpoint_folder(const fs::path& run, const std::string& name) {
  const auto folder = train::checkpoints_of(run);
  auto chosen = name;
  if (name == "best" || name == "latest") {
    const auto pointer = folder / name;
    if (!fs::exists(pointer)) {
      throw UserError({pointer.string(), "expected a checkpoint, got none",
                       name == "best" ? "Train until a validation, or pass --checkpoint latest."
                                      : "Train first, or pass --checkpoint and the name of a folder beside it."});
    }
    chosen = io::read_file(pointer, kMaxPointerBytes);
    chosen.erase(chosen.find_last_not_of(" \n\r\t") + 1);
  }
  if (chosen.find('/') != std::string::npos || !is_checkpoint(folder / chosen)) {
    throw UserError({(folder / chosen).string(), "expected a checkpoint folder with a state.json, got none",
                     "Pass best, latest or the name of a folder in " + folder.string() + "."});
  }
  return folder / chosen;
}

fs::path weights_file(const fs::path& checkpoint, const std::string& weights) {
  const auto has = [&](const char* file) { return train::Checkpoint::names(checkpoint, file); };
  if (weights.empty()) return checkpoint / (has("ema.safetensors") ? "ema.safetensors" : "model.safetensors");
  auto file = checkpoint / (weights + ".safetensors");
  if (!has(file.filename().c_str())) {
    throw UserError({file.string(), "expected weights, got no such file",
                     weights == "average"
                         ? "Pass ema or model; only runs with train.weight_average have it, from its first epoch on."
                         : "Pass --weights model; the run has no average."});
  }
  return file;
}

/// \throws UserError unless a part of a deploy file is of a kind that this program has.
void require_known(const char* part, const config::RegistryBase& registry, const std::string& json,
                   const fs::path& file) {
  const auto tree = config::load_text(json, file.string());
  const auto* name = tree.root.find("name");
  if (!name || registry.find(name->scalar)) return;  // parsing tells that there is no name
  throw UserError({format("{}: {}", file.string(), part),
                   format("needs the {} \"{}\", which this program does not have", registry.kind(), name->scalar),
                   "If a plugin adds it, pass --plugin FILE."});
}

}  // namespace

void add_weights_choice(CLI::App& command, WeightsChoice& choice) {
  command.add_option("--checkpoint", choice.checkpoint, "best, latest or step_N; best, of an average latest.");
  command.add_option("--weights", choice.weights, "ema, model or average (of epochs); ema when the run has it.")
      ->check(CLI::IsMember({"ema", "model", "average"}));
}

void refuse_weights_choice(const WeightsChoice& choice, const std::string& target) {
  for (const auto& [option, value] : {std::pair("--checkpoint", choice.checkpoint), {"--weights", choice.weights}}) {
    if (value.empty()) continue;
    throw UserError({option, format("expected nothing beside {}, got \"{}\"", target, value),
                     "Leave it out, or pass the folder of the run."});
  }
}

void require_existing(const fs::path& path) {
  if (!is_there(path)) {
    throw UserError({path.string(), "expected a run, a checkpoint or a weight file, got nothing", "Check the path."});
  }
  if (fs::is_directory(path) && !is_run(path)) {
    throw UserError({path.string(), "expected a run, a checkpoint or a weight file, got another folder",
                     "Pass the folder that `unireplk train` made."});
  }
}

bool is_run(const fs::path& path) { return is_there(path / "config.yaml") || is_checkpoint(path); }

fs::path run_of(const fs::path& path) {
  return is_checkpoint(path) ? fs::absolute(path / ".").lexically_normal().parent_path().parent_path().parent_path()
                             : path;
}

OpenedRun open_run(const fs::path& path, const WeightsChoice& choice, const std::vector<std::string>& overrides,
                   const config::Registries& registries) {
  if (is_checkpoint(path)) refuse_weights_choice({.checkpoint = choice.checkpoint, .weights = {}}, "a checkpoint");
  const auto folder = run_of(path);
  const auto usual = choice.weights == "average" ? "latest" : "best";
  const auto checkpoint =
      is_checkpoint(path) ? path : checkpoint_folder(path, choice.checkpoint.empty() ? usual : choice.checkpoint);
  const auto weights = weights_file(checkpoint, choice.weights);
  train::Checkpoint::verify(checkpoint, weights.filename().string());
  return {load_experiment_of_run(folder, overrides, registries), weights};
}

models::AnyNetwork load_network(const OpenedRun& run, const DataInfo& info, const Context& context) {
  models::AnyNetwork network(models::network_options(run.config.model, info));
  const auto file = io::read_safetensors(run.weights_file);
  models::load_state_dict(*network, file.tensors, {.place = run.weights_file.string()});
  network->to(context.device);
  network->eval();
  return network;
}

DeployParts deploy_parts(const exporting::DeployFile& file, const fs::path& path,
                         const config::Registries& registries) {
  require_known("pipeline", registries.get<data::PipelineSignature>(), file.pipeline, path);
  require_known("task", registries.get<tasks::TaskSignature>(), file.task, path);
  const auto text = format("pipeline: {}\ntask: {}\n", file.pipeline, file.task);  // JSON is YAML
  return config::parse<DeployParts>(config::load_text(text, path.string()), registries);
}

}  // namespace unireplk::runner
