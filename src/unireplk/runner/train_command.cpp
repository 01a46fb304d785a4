#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/config/dump.h"
#include "unireplk/core/log.h"
#include "unireplk/core/signal.h"
#include "unireplk/data/sampler.h"
#include "unireplk/models/describe.h"
#include "unireplk/runner/builtins.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/runner/program.h"
#include "unireplk/runner/resume.h"
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

void announce(const ExperimentConfig& config, const Context& context, const data::Dataset& training,
              const std::optional<data::Dataset>& validation, tasks::Task& task) {
  log_info("{}", version_line());
  log_info("device {}, seed {}", describe_device(context.device), context.seed);
  log_info("data: {} to train with, {} to validate with, {} classes", training.size(),
           validation ? validation->size() : 0, training.info.classes.size());
  log_info("network: {}, {} parameters", config.model.backbone.name(), models::count_parameters(task.network()));
}

/// What the command says at the end of a run.
void report(const train::Trainer& trainer, const std::filesystem::path& folder, bool finished, bool json) {
  if (json) {
    nlohmann::ordered_json line{{"run", folder.string()}, {"finished", finished}, {"step", trainer.clock().step()}};
    if (trainer.best().step() >= 0) {
      line["best"] = trainer.best().value();
      line["best_step"] = trainer.best().step();
    }
    print_json(line);
    return;
  }
  if (!finished) log_info("run again with --resume to go on");
  if (trainer.best().step() >= 0) {
    log_info("best validation: {:.2f} at step {}", trainer.best().value(), trainer.best().step());
  }
  log_info("run folder: {}", folder.string());
}

ExitCode train_run(const TrainOptions& options, bool json) {
  const auto registries = builtins();
  const auto config = load_experiment(options.target.path, options.target.overrides, registries);
  const Context context = make_context(config.device, config.threads, config.seed);
  const auto training = training_data(config.data);
  std::optional<data::Dataset> validation;
  if (!config.data.validation.empty()) validation = validation_data(config.data);
  const auto network = new_network(config, training.info, context);
  const auto task = make_task(config.task, network, training.info);
  if (validation) check_same_classes(training.info, validation->info);
  announce(config, context, training, validation, *task);

  const auto batch_size = config.data.loader.batch_size;
  const auto shuffled = data::shuffled_sampler(training.size(), batch_size, config.seed);
  data::Loader train_loader(training, *shuffled, data::Mode::kTrain, config.data.loader, context);
  std::unique_ptr<data::Sampler> in_order;
  std::optional<data::Loader> validation_loader;
  if (validation) {
    in_order = data::sequential_sampler(validation->size(), batch_size);
    validation_loader.emplace(*validation, *in_order, data::Mode::kEvaluation, config.data.loader, context);
  }
  train::check_trainable(config.train, *task, shuffled->steps(0));
  if (options.dry_run) {
    log_info("dry run: config, data and network are good; nothing was written");
    return ExitCode::kGood;
  }

  const StopFlag stop;
  const train::RunFolder folder(config.run_folder(), options.resume);
  if (const auto earlier = folder.config()) check_resumable(*earlier, config, registries, folder.path());
  train::Trainer trainer(config.train, {.task = *task,
                                        .train_data = train_loader,
                                        .batches_per_epoch = shuffled->steps(0),
                                        .validation_data = validation_loader ? &*validation_loader : nullptr,
                                        .folder = folder,
                                        .context = context,
                                        .stop_requested = [&stop] { return stop.requested(); }});
  train::ProgressObserver progress(trainer.clock(), train_loader);
  trainer.observe(progress);
  if (!folder.config()) folder.write_config(config::dump(config));
  if (options.resume && !trainer.resume()) log_info("no checkpoint in {}: starting anew", folder.path().string());
  const bool finished = trainer.run() == train::RunEnd::kFinished;
  report(trainer, folder.path(), finished, json);
  return finished ? ExitCode::kGood : ExitCode::kStopped;
}

}  // namespace

void add_train(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("train", "Train a network as a config file says.");
  auto options = std::make_shared<TrainOptions>();
  add_target(*command, options->target, "CONFIG", "YAML file.");
  command->add_flag("--resume", options->resume, "Go on from the newest sound checkpoint; start when there is none.");
  command->add_flag("--dry-run", options->dry_run, "Check config, data and network; train and write nothing.");
  command->callback(
      [options, &program] { program.run = [options, &program] { return train_run(*options, program.json); }; });
}

}  // namespace unireplk::runner
