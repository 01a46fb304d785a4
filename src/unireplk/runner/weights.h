#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "unireplk/export/deploy_file.h"
#include "unireplk/runner/experiment.h"

namespace CLI {
class App;
}

namespace unireplk::runner {

/// Which weights of a run are meant.
struct WeightsChoice {
  std::string checkpoint;  ///< best, latest or the name of a checkpoint folder; empty: best, of an average latest
  std::string weights;     ///< ema, model or average; empty: ema when the run has it
};

/// Add the options that choose weights of a run.
void add_weights_choice(CLI::App& command, WeightsChoice& choice);

/// A checkpoint of a run: its config, and the weights as they lie on disk.
struct OpenedRun {
  ExperimentConfig config;
  std::filesystem::path weights_file;
};

/// \throws UserError when a choice was made beside a target that is what it is: "a deploy file".
void refuse_weights_choice(const WeightsChoice& choice, const std::string& target);

/// \throws UserError when there is neither a file nor the folder of a run or checkpoint.
void require_existing(const std::filesystem::path& path);

/// The run that a run folder or a checkpoint folder inside one belongs to.
std::filesystem::path run_of(const std::filesystem::path& path);

/// True for a run folder or a checkpoint folder inside one.
bool is_run(const std::filesystem::path& path);

/// Open RUN or RUN/checkpoints/step_N. \throws UserError naming what is missing.
OpenedRun open_run(const std::filesystem::path& path, const WeightsChoice& choice,
                   const std::vector<std::string>& overrides, const config::Registries& registries);

/// The network of a run with its weights, on the context's device, in eval mode.
models::AnyNetwork load_network(const OpenedRun& run, const DataInfo& info, const Context& context);

/// Pipeline and task of a deploy file.
struct DeployParts {
  config::Choice<data::PipelineSignature> pipeline;
  config::Choice<tasks::TaskSignature> task;

  static void fields(auto& self, auto&& visit) {
    visit("pipeline", self.pipeline, config::required, "How a file becomes what the network sees.");
    visit("task", self.task, config::required, "What the network does.");
  }
};

DeployParts deploy_parts(const exporting::DeployFile& file, const std::filesystem::path& path,
                         const config::Registries& registries);

}  // namespace unireplk::runner
