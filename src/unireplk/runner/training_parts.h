#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "unireplk/data/loader.h"
#include "unireplk/data/sampler.h"
#include "unireplk/models/any_network.h"
#include "unireplk/runner/baselines.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/tasks/task.h"
#include "unireplk/train/trainer.h"

namespace unireplk::runner {

/// A data set and what draws batches from it.
struct Feed {
  Feed(data::Dataset set, std::unique_ptr<data::Sampler> order, data::Mode mode, const data::LoaderConfig& config,
       const Context& context)
      : dataset(std::move(set)), sampler(std::move(order)), loader(dataset, *sampler, mode, config, context) {}

  data::Dataset dataset;
  std::unique_ptr<data::Sampler> sampler;
  data::Loader loader;
};

/// The order in which a run takes the items of its training data.
std::unique_ptr<data::Sampler> training_order(const ExperimentConfig& config, const data::Dataset& dataset);

/// All that a training is made of, checked piece by piece; nothing is written.
struct TrainingParts {
  /// \param resumes  the weights will come from a checkpoint of the run, so those of `init` are not read.
  TrainingParts(const ExperimentConfig& config, const Context& run_context, const config::Registries& registries,
                bool resumes);

  int64_t batches_per_epoch() const { return training->sampler->steps(0); }

  /// What the training data say to a network that is only used.
  DataInfo evaluation_info(const ExperimentConfig& config) const;

  /// What a trainer takes of them; they must outlive it.
  train::TrainerParts for_trainer(const train::RunFolder& folder, std::function<bool()> stop_requested);

  Context context;
  std::unique_ptr<Feed> training;
  std::unique_ptr<Feed> validation;  ///< null: nothing is measured
  std::unique_ptr<Feed> test;        ///< null: nothing is measured at the end
  models::AnyNetwork network;
  std::unique_ptr<tasks::Task> task;
  std::unique_ptr<Baselines> baselines;
  int64_t batch_multiple = 1;  ///< samples of a micro-batch come in multiples of this
};

}  // namespace unireplk::runner
