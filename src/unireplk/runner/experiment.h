#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/config/parse.h"
#include "unireplk/config/registry.h"
#include "unireplk/data/dataset.h"
#include "unireplk/data/loader.h"
#include "unireplk/data/registries.h"
#include "unireplk/data/sampler.h"
#include "unireplk/models/network.h"
#include "unireplk/runner/initial_weights.h"
#include "unireplk/runner/plugins.h"
#include "unireplk/tasks/network.h"
#include "unireplk/tasks/task.h"
#include "unireplk/train/train_config.h"

namespace unireplk::runner {

/// `data:` of a config file.
struct DataConfig {
  config::Choice<data::SourceSignature> train;
  config::Choice<data::SourceSignature> validation;
  config::Choice<data::SourceSignature> test;
  config::Choice<data::PipelineSignature> pipeline;
  data::SamplerConfig sampler;
  data::LoaderConfig loader;

  static void fields(auto& self, auto&& visit) {
    visit("train", self.train, "What to learn from.");
    visit("validation", self.validation, "What to measure on; without it nothing is measured.");
    visit("test", self.test, "What to measure the best weights on, once, at the end of training.");
    visit("pipeline", self.pipeline, config::required, "How a file becomes what the network sees.");
    visit("sampler", self.sampler, "In which order training takes the data.");
    visit("loader", self.loader, "Batches and the threads that make them.");
  }

  void validate(config::Problems& problems) const;
};

/// A whole config file.
struct ExperimentConfig {
  std::string name;
  std::vector<std::filesystem::path> plugins;  ///< loaded before the rest is parsed
  std::filesystem::path output = "runs";
  uint64_t seed = 0;
  std::string device = "auto";
  int64_t threads = 0;
  models::NetworkConfig model;
  std::optional<InitConfig> init;
  DataConfig data;
  config::Choice<tasks::TaskSignature> task{"classification"};
  train::TrainConfig train;

  static void fields(auto& self, auto&& visit) {
    visit("name", self.name, config::non_empty, "Name of the run; its folder is <output>/<name>.");
    visit("plugins", self.plugins, "Shared libraries that add names; a run's config.yaml lists none.");
    visit("output", self.output, "Folder that holds the runs.");
    visit("seed", self.seed, "All randomness of the run follows from it.");
    visit("device", self.device, "auto, cpu, cuda or cuda:N.");
    visit("threads", self.threads, config::between(0, 1024), "Threads of one operation; 0 takes every core.");
    visit("model", self.model, "The network.");
    visit("init", self.init, "Weights to start from; left out, they are drawn.");
    visit("data", self.data, "Data sets and how they are read.");
    visit("task", self.task, "What the network learns to do.");
    visit("train", self.train, "How it learns.");
  }

  void validate(config::Problems& problems) const;

  std::filesystem::path run_folder() const { return output / name; }
};

/// Parse a user's config file with overrides, after loading the plugins it names.
/// \throws UserError with every mistake it holds, or the first plugin that cannot be loaded.
ExperimentConfig load_experiment(const std::filesystem::path& file, const std::vector<std::string>& overrides,
                                 PluginRegistries& registries);

/// Parse the config in the folder of a run, which may name no plugin. \throws UserError with every mistake it holds.
ExperimentConfig load_experiment_of_run(const std::filesystem::path& folder, const std::vector<std::string>& overrides,
                                        const config::Registries& registries);

/// The config as its run keeps it, in YAML: whoever resumes says anew which plugins to load.
std::string config_for_run(ExperimentConfig config);

/// Device, threads (0: every core, or OMP_NUM_THREADS) and seed of a command; sets the number of threads of this
/// process. \throws UserError when there is no such device.
Context make_context(const std::string& device, int64_t threads, uint64_t seed = 0);

/// Samples of a micro-batch come in multiples of this: 2 where they are mixed two by two.
int64_t batch_multiple(const ExperimentConfig& config);

/// Data that a network is measured on.
enum class Split { kValidation, kTest };

/// "data.validation", "data.test".
const char* key_of(Split split);

/// Data to learn from, and to measure on. \throws UserError when the set is not there.
data::Dataset training_data(const DataConfig& config);
data::Dataset evaluation_data(const DataConfig& config, Split split);

/// Write into the config what the training data decide and what measuring must not decide anew: mean and std of arrays.
void settle_statistics(DataConfig& config, const config::Registries& registries);

/// \param place  the key of the other set, for messages.
/// \throws UserError unless both sets name the same classes in the same order, and rows of the same shape and channels.
void check_same_classes(const DataInfo& training, const DataInfo& other, const char* place);

/// A network of this config for this data, its weights drawn from the seed, on the context's device.
models::AnyNetwork new_network(const ExperimentConfig& config, const DataInfo& info, const Context& context);

/// The task around a network. \throws UserError when the data lack a field that it needs.
std::unique_ptr<tasks::Task> make_task(const config::Choice<tasks::TaskSignature>& choice,
                                       const models::AnyNetwork& network, const DataInfo& info);

}  // namespace unireplk::runner
