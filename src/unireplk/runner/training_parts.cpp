#include "unireplk/runner/training_parts.h"

#include "unireplk/core/log.h"
#include "unireplk/models/freeze.h"

namespace unireplk::runner {
namespace {

std::unique_ptr<Feed> training_feed(const ExperimentConfig& config, const Context& context) {
  auto dataset = training_data(config.data);
  auto order = training_order(config, dataset);
  return std::make_unique<Feed>(std::move(dataset), std::move(order), data::Mode::kTrain, config.data.loader, context);
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

}  // namespace

std::unique_ptr<data::Sampler> training_order(const ExperimentConfig& config, const data::Dataset& dataset) {
  return data::training_sampler(*dataset.source, config.data.loader.batch_size, config.seed, /*ranks=*/1,
                                config.data.sampler);
}

TrainingParts::TrainingParts(const ExperimentConfig& config, const Context& run_context,
                             const config::Registries& registries, bool resumes)
    : context(run_context),
      training(training_feed(config, context)),
      validation(evaluation_feed(config, Split::kValidation, training->dataset.info, context)),
      test(evaluation_feed(config, Split::kTest, training->dataset.info, context)),
      network(starting_network(config, training->dataset.info, context, registries, resumes)),
      task(make_task(config.task, network, training->dataset.info)),
      baselines(make_baselines(config.task, config.data.pipeline, [this] { return training->dataset.source; })),
      batch_multiple(runner::batch_multiple(config)) {
  train::check_trainable(config.train, *task, batches_per_epoch(), validation != nullptr, context.device);
}

DataInfo TrainingParts::evaluation_info(const ExperimentConfig& config) const {
  const auto of_source = training->dataset.source->info();
  return config.data.pipeline.make(of_source, data::Mode::kEvaluation)->describe(of_source);
}

train::TrainerParts TrainingParts::for_trainer(const train::RunFolder& folder, std::function<bool()> stop_requested) {
  return {.task = *task,
          .train_data = training->loader,
          .batches_per_epoch = batches_per_epoch(),
          .batch_multiple = batch_multiple,
          .validation_data = validation ? &validation->loader : nullptr,
          .test_data = test ? &test->loader : nullptr,
          .folder = folder,
          .context = context,
          .stop_requested = std::move(stop_requested)};
}

}  // namespace unireplk::runner
