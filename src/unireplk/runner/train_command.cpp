#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/core/log.h"
#include "unireplk/core/signal.h"
#include "unireplk/models/describe.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/runner/program.h"
#include "unireplk/runner/resume.h"
#include "unireplk/runner/run_data.h"
#include "unireplk/runner/training_parts.h"
#include "unireplk/runner/version.h"
#include "unireplk/train/progress_observer.h"
#include "unireplk/train/trainer.h"

namespace unireplk::runner {
namespace {

struct TrainOptions {
  Target target;
  bool resume = false;
  bool dry_run = false;
};

void announce(const ExperimentConfig& config, const TrainingParts& parts) {
  log_info("{}", version_line());
  log_info("device {}, seed {}", describe_device(parts.context.device), parts.context.seed);
  log_info("data: {} to train with, {} to validate with, {}{} classes", parts.training->dataset.size(),
           parts.validation ? parts.validation->dataset.size() : 0,
           parts.test ? format("{} to test with, ", parts.test->dataset.size()) : "",
           parts.training->dataset.info.classes.size());
  log_info("network: {}, {} parameters", config.model.backbone.name(), models::count_parameters(parts.task->network()));
}

/// What the command says at the end of a run.
void report(const train::Trainer& trainer, const std::filesystem::path& folder, bool finished, double percent_waited,
            bool json) {
  if (json) {
    nlohmann::ordered_json line{{"run", folder.string()},
                                {"finished", finished},
                                {"step", trainer.clock().step()},
                                {"percent_waited_for_data", percent_waited}};
    if (trainer.best().step() >= 0) {
      line["best"] = trainer.best().value();
      line["best_step"] = trainer.best().step();
    }
    for (const auto& [weights, metrics] : trainer.test()) {
      for (const auto& metric : metrics) line["test"][weights][metric.name] = metric.value;
    }
    print_json(line);
    return;
  }
  if (trainer.best().step() >= 0) {
    log_info("best validation: {:.4g} at step {}", trainer.best().value(), trainer.best().step());
  }
  constexpr double kMuch = 10;
  log_info("waited for data {:.0f} % of the time{}", percent_waited,
           percent_waited > kMuch ? "; a larger data.loader.workers may help" : "");
  log_info("run folder: {}", folder.string());
}

/// Keep what a run starts with; once there is a checkpoint, check that the run may go on under `config`. The trainer
/// has cleared away what lay half written there.
void settle_folder(const train::RunFolder& folder, const ExperimentConfig& config, const config::Registries& registries,
                   const DataInfo& info) {
  const auto earlier = folder.config();
  const bool goes_on = !train::CheckpointStore::steps_in(folder.checkpoints()).empty();
  if (earlier && goes_on) return check_resumable(*earlier, config, registries, folder.path());
  const auto text = config_for_run(config);
  if (earlier && *earlier != text) {
    log_info("{}: replaced by this config, as no checkpoint was made under the earlier one",
             (folder.path() / "config.yaml").string());
  }
  write_run_data(folder.path(), info);
  folder.write_config(text);
}

/// Train in the run's folder, from its newest checkpoint on when there is one.
ExitCode train_in_folder(const ExperimentConfig& config, const config::Registries& registries, bool resume,
                         TrainingParts& parts, bool json) {
  const StopFlag stop;
  const train::RunFolder folder(config.run_folder(), resume);
  train::Trainer trainer(config.train, parts.for_trainer(folder, [&stop] { return stop.requested(); }));
  train::ProgressObserver progress(trainer.clock(), parts.training->loader);
  trainer.observe(progress);
  BaselineObserver baselines(*parts.baselines, parts.validation ? &parts.validation->dataset : nullptr,
                             parts.test ? &parts.test->dataset : nullptr);
  trainer.observe(baselines);
  settle_folder(folder, config, registries, parts.evaluation_info(config));
  if (resume) trainer.resume();
  const bool finished = trainer.run() == train::RunEnd::kFinished;
  if (!finished) {
    const auto signal = stop.signal_name();
    log_info("stopped by {}: run again with --resume to go on", signal.empty() ? "train.time_budget" : signal);
  }
  report(trainer, folder.path(), finished, progress.percent_waited(), json);
  return finished ? ExitCode::kGood : ExitCode::kStopped;
}

/// The config of a run names the folder to go on with; that is another one when the run was moved.
void warn_of_moved_run(const TrainOptions& options, const std::filesystem::path& run_folder) {
  const auto folder = std::filesystem::absolute(options.target.path).lexically_normal().parent_path();
  std::error_code error;
  if (!options.resume || !std::filesystem::is_directory(train::checkpoints_of(folder), error) ||
      std::filesystem::equivalent(folder, run_folder, error)) {
    return;
  }
  log_warning("{} lies in a run folder, but its `output` and `name` say {}. To go on where it lies: output={} name={}",
              options.target.path, run_folder.string(), folder.parent_path().string(), folder.filename().string());
}

ExitCode train_run(const TrainOptions& options, const Program& program) {
  auto registries = program.registries();
  auto config = load_experiment(options.target.path, options.target.overrides, registries);
  settle_statistics(config.data, registries);
  warn_of_moved_run(options, config.run_folder());
  const bool resumes =
      options.resume && !train::CheckpointStore::steps_in(train::checkpoints_of(config.run_folder())).empty();
  TrainingParts parts(config, make_context(config.device, config.threads, config.seed), registries, resumes);
  announce(config, parts);
  if (options.dry_run) {
    log_info("dry run: config, data and network are good; nothing was written");
    return ExitCode::kGood;
  }
  return train_in_folder(config, registries, options.resume, parts, program.json);
}

}  // namespace

void add_train(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("train", "Train a network as a config file says.");
  auto options = std::make_shared<TrainOptions>();
  add_target(*command, options->target, "CONFIG", "YAML file.");
  command->add_flag("--resume", options->resume,
                    "Go on from the newest sound checkpoint; start from the beginning when there is none.");
  command->add_flag("--dry-run", options->dry_run, "Check config, data and network; train and write nothing.");
  command->callback(
      [options, &program] { program.run = [options, &program] { return train_run(*options, program); }; });
}

}  // namespace unireplk::runner
