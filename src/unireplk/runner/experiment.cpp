#include "unireplk/runner/experiment.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include "unireplk/config/dump.h"
#include "unireplk/config/parse.h"
#include "unireplk/data/array_pipeline.h"
#include "unireplk/data/image/image_pipeline.h"
#include "unireplk/nn/synchronise.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/tasks/multi_label.h"

namespace unireplk::runner {
namespace {

data::Dataset dataset(const config::Choice<data::SourceSignature>& choice, const DataConfig& config, data::Mode mode,
                      const char* key) {
  if (choice.empty()) {
    throw UserError(
        {key, "expected a data set, got nothing", format("Add {}: {{name: ...}}; see `unireplk list data`.", key)});
  }
  std::shared_ptr<const data::Source> source = choice.make();
  return data::make_dataset(source, config.pipeline.make(source->info(), mode));
}

/// Rows over time have to be cut in one way.
void check_same_windows(const DataInfo& training, const DataInfo& other, const char* place) {
  for (const char* name : {"window", "future", "marks"}) {
    const auto* ours = training.find(name);
    const auto* theirs = other.find(name);
    if (!ours || !theirs || ours->shape == theirs->shape) continue;
    throw UserError({place,
                     format("expected the field \"{}\" to be [{}], as in training, got [{}]", name,
                            fmt::join(ours->shape, ", "), fmt::join(theirs->shape, ", ")),
                     "Give both sets the same input, horizon and channels."});
  }
  if (training.series == other.series) return;
  throw UserError(
      {place,
       format("expected the channels {}, got {}", fmt::join(training.series, ", "), fmt::join(other.series, ", ")),
       "Give both sets the same channels in the same order."});
}

/// Training takes full batches alone.
void check_batch_is_mixable(const ExperimentConfig& config, config::Problems& problems) {
  const int64_t size = config.data.loader.batch_size;
  if (size % batch_multiple(config) == 0) return;
  problems.add("data.loader.batch_size",
               format("expected an even number, as mixup and cutmix mix samples two by two, got {}", size),
               format("Write {}, or switch task.mixup and task.cutmix off.", size + 1));
}

}  // namespace

void DataConfig::validate(config::Problems& problems) const {
  const int64_t copies = sampler.aug_repeats;
  if (copies == 1) return;
  if (copies > loader.batch_size) {
    problems.add("sampler.aug_repeats",
                 format("expected at most the {} samples of a batch, got {}", loader.batch_size, copies),
                 "Lower it, or raise data.loader.batch_size.");
  }
  const auto* image = pipeline.config_if<data::image::ImagePipelineConfig>();
  if (image && !image->draws_in_training()) {
    problems.add(
        "sampler.aug_repeats",
        format("expected 1, as data.pipeline.train draws nothing and all copies would be equal, got {}", copies),
        "Leave it out, or add a transform that draws.");
  }
}

void ExperimentConfig::validate(config::Problems& problems) const {
  if (name == "." || name == ".." || name.find('/') != std::string::npos) {
    problems.add("name", format("expected the name of a folder, got \"{}\"", name), "Put folders into `output`.");
  }
  if (!names_device(device)) {
    problems.add("device", format("expected auto, cpu, cuda or cuda:N, got \"{}\"", device), "");
  }
  check_batch_is_mixable(*this, problems);
}

ExperimentConfig load_experiment(const std::filesystem::path& file, const std::vector<std::string>& overrides,
                                 PluginRegistries& registries) {
  const auto tree = config::load(file, overrides);
  registries.load_named(tree);
  return config::parse<ExperimentConfig>(tree, registries);
}

ExperimentConfig load_experiment_of_run(const std::filesystem::path& folder, const std::vector<std::string>& overrides,
                                        const config::Registries& registries) {
  auto tree = config::load(folder / "config.yaml", overrides);
  refuse_plugins(tree);
  tree.unknown_name_cure = "If a plugin adds it, pass --plugin FILE.";
  return config::parse<ExperimentConfig>(tree, registries);
}

std::string config_for_run(ExperimentConfig config) {
  config.plugins.clear();
  return config::dump(config);
}

Context make_context(const std::string& device, int64_t threads, uint64_t seed) {
  Context context{.device = resolve_device(device),
                  .threads = threads > 0 ? threads : at::get_num_threads(),
                  .seed = seed,
                  .rank = {}};
  at::set_num_threads(static_cast<int>(context.threads));
  return context;
}

int64_t batch_multiple(const ExperimentConfig& config) {
  const auto* task = config.task.config_if<tasks::ClassificationConfig>();
  return task && task->mixing.is_on() ? 2 : 1;
}

data::Dataset training_data(const DataConfig& config) {
  return dataset(config.train, config, data::Mode::kTrain, "data.train");
}

const char* key_of(Split split) { return split == Split::kTest ? "data.test" : "data.validation"; }

data::Dataset evaluation_data(const DataConfig& config, Split split) {
  return dataset(split == Split::kTest ? config.test : config.validation, config, data::Mode::kEvaluation,
                 key_of(split));
}

void settle_statistics(DataConfig& config, const config::Registries& registries) {
  const auto* array = config.pipeline.config_if<data::ArrayPipelineConfig>();
  if (!array || array->mean || config.train.empty()) return;
  config.pipeline =
      config::Choice<data::PipelineSignature>::of(registries.get<data::PipelineSignature>(), config.pipeline.name(),
                                                  data::with_statistics(*array, config.train.make()->info()));
}

void check_same_classes(const DataInfo& training, const DataInfo& other, const char* place) {
  check_same_windows(training, other, place);
  if (training.classes == other.classes) return;
  throw UserError({place,
                   format("expected the {} classes of the training data in their order, got {} classes: {}",
                          training.classes.size(), other.classes.size(), fmt::join(other.classes, ", ")),
                   "Give both sets the same class folders or the same list of classes."});
}

std::unique_ptr<tasks::Task> make_task(const config::Choice<tasks::TaskSignature>& choice,
                                       const models::AnyNetwork& network, const DataInfo& info) {
  const bool classifies =
      choice.config_if<tasks::ClassificationConfig>() || choice.config_if<tasks::MultiLabelConfig>();
  if (network.forecaster() && classifies) {
    throw UserError({"task.name", format("expected forecasting, as model.head forecasts, got {}", choice.name()),
                     "Write name: forecasting, or name: classifier under model.head."});
  }
  auto handle = network.classifier() ? tasks::network_of(network.classifier())
                                     : tasks::Network{.module = network.ptr(), .forward = {}};
  auto task = choice.make(std::move(handle), info);
  tasks::check_fields(task->needs(), info);
  return task;
}

models::AnyNetwork new_network(const ExperimentConfig& config, const DataInfo& info, const Context& context) {
  auto network = models::make_network(config.model, info, at::detail::createCPUGenerator(context.seed));
  network->to(context.device);
  nn::synchronise_norms(*network, context.collective);
  return network;
}

}  // namespace unireplk::runner
