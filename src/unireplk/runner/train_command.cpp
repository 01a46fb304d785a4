#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/core/log.h"
#include "unireplk/core/signal.h"
#include "unireplk/data/sampler.h"
#include "unireplk/models/describe.h"
#include "unireplk/models/freeze.h"
#include "unireplk/runner/baselines.h"
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

/// A data set and what draws batches from it.
struct Feed {
  Feed(data::Dataset set, std::unique_ptr<data::Sampler> order, data::Mode mode, const data::LoaderConfig& config,
       const Context& context)
      : dataset(std::move(set)), sampler(std::move(order)), loader(dataset, *sampler, mode, config, context) {}

  data::Dataset dataset;
  std::unique_ptr<data::Sampler> sampler;
  data::Loader loader;
};

/// All that a run is made of, checked piece by piece; nothing is written.
struct Parts {
  /// \param resumes  the weights will come from a checkpoint of the run, so those of `init` are not read.
  Parts(const ExperimentConfig& config, const Context& run_context, const config::Registries& registries, bool resumes);

  int64_t batches_per_epoch() const { return training->sampler->steps(0); }

  Context context;
  std::unique_ptr<Feed> training;
  std::unique_ptr<Feed> validation;  ///< null: nothing is measured
  std::unique_ptr<Feed> test;        ///< null: nothing is measured at the end
  models::AnyNetwork network;
  std::unique_ptr<tasks::Task> task;
  std::unique_ptr<Baselines> baselines;
};

std::unique_ptr<Feed> training_feed(const ExperimentConfig& config, const Context& context) {
  auto dataset = training_data(config.data);
  const auto& loader = config.data.loader;
  auto order =
      data::training_sampler(*dataset.source, loader.batch_size, config.seed, /*ranks=*/1, config.data.sampler);
  return std::make_unique<Feed>(std::move(dataset), std::move(order), data::Mode::kTrain, loader, context);
}

/// Data to measure on; null when the config names none. \throws UserError when they do not fit the training data.
std::unique_ptr<Feed> evaluation_feed(const ExperimentConfig& config, Split split, const DataInfo& training,
                                      const Context& context) {
  if ((split == Split::kTest ? config.data.test : config.data.validation).empty()) return nullptr;
  auto dataset = evaluation_data(config.data, split);
  check_same_classes(training, dataset.info, key_of(split));
  const auto& loader = config.data.loader;
  auto order = data::sequential_sampler(dataset.size(), loader.batch_size);
  return std::make_unique<Feed>(std::move(dataset), std::move(order), data::Mode::kEvaluation, loader, context);
}

/// The network as it starts: drawn, or from other weights; with parts that do not learn.
models::AnyNetwork starting_network(const ExperimentConfig& config, const DataInfo& info, const Context& context,
                                    const config::Registries& registries, bool resumes) {
  auto network = new_network(config, info, context);
  if (config.init && !resumes) initialise_from(*config.init, *network, registries);
  const auto frozen = models::freeze(*network, config.train.freeze);
  if (frozen > 0) log_info("frozen: {} parameters", frozen);
  return network;
}

Parts::Parts(const ExperimentConfig& config, const Context& run_context, const config::Registries& registries,
             bool resumes)
    : context(run_context),
      training(training_feed(config, context)),
      validation(evaluation_feed(config, Split::kValidation, training->dataset.info, context)),
      test(evaluation_feed(config, Split::kTest, training->dataset.info, context)),
      network(starting_network(config, training->dataset.info, context, registries, resumes)),
      task(make_task(config.task, network, training->dataset.info)),
      baselines(make_baselines(config.task, config.data.pipeline, [this] { return training->dataset.source; })) {
  train::check_trainable(config.train, *task, batches_per_epoch(), validation != nullptr);
}

void announce(const ExperimentConfig& config, const Parts& parts) {
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

/// Train in the run's folder, from its newest checkpoint on when there is one.
ExitCode train_in_folder(const ExperimentConfig& config, const config::Registries& registries, bool resume,
                         Parts& parts, bool json) {
  const StopFlag stop;
  const train::RunFolder folder(config.run_folder(), resume);
  if (const auto earlier = folder.config()) check_resumable(*earlier, config, registries, folder.path());
  train::Trainer trainer(config.train, {.task = *parts.task,
                                        .train_data = parts.training->loader,
                                        .batches_per_epoch = parts.batches_per_epoch(),
                                        .batch_multiple = batch_multiple(config),
                                        .validation_data = parts.validation ? &parts.validation->loader : nullptr,
                                        .test_data = parts.test ? &parts.test->loader : nullptr,
                                        .folder = folder,
                                        .context = parts.context,
                                        .stop_requested = [&stop] { return stop.requested(); }});
  train::ProgressObserver progress(trainer.clock(), parts.training->loader);
  trainer.observe(progress);
  BaselineObserver baselines(*parts.baselines, parts.validation ? &parts.validation->dataset : nullptr,
                             parts.test ? &parts.test->dataset : nullptr);
  trainer.observe(baselines);
  if (!folder.config()) folder.write_config(config_for_run(config));
  if (resume) trainer.resume();
  const bool finished = trainer.run() == train::RunEnd::kFinished;
  if (!finished) {
    const auto signal = stop.signal_name();
    log_info("stopped by {}: run again with --resume to go on", signal.empty() ? "train.time_budget" : signal);
  }
  report(trainer, folder.path(), finished, progress.percent_waited(), json);
  return finished ? ExitCode::kGood : ExitCode::kStopped;
}

ExitCode train_run(const TrainOptions& options, const Program& program) {
  auto registries = program.registries();
  auto config = load_experiment(options.target.path, options.target.overrides, registries);
  settle_statistics(config.data, registries);
  const bool resumes =
      options.resume && !train::CheckpointStore::steps_in(train::checkpoints_of(config.run_folder())).empty();
  Parts parts(config, make_context(config.device, config.threads, config.seed), registries, resumes);
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
  command->add_flag("--resume", options->resume, "Go on from the newest sound checkpoint; start when there is none.");
  command->add_flag("--dry-run", options->dry_run, "Check config, data and network; train and write nothing.");
  command->callback(
      [options, &program] { program.run = [options, &program] { return train_run(*options, program); }; });
}

}  // namespace unireplk::runner
