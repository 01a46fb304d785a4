#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/config/dump.h"
#include "unireplk/core/log.h"
#include "unireplk/data/sampler.h"
#include "unireplk/export/merge.h"
#include "unireplk/runner/program.h"
#include "unireplk/runner/run_data.h"
#include "unireplk/runner/weights.h"

namespace unireplk::runner {
namespace {

struct ExportOptions {
  Target target;
  WeightsChoice weights;
  std::filesystem::path output;
};

constexpr int64_t kSamples = 4;  // of the proof

/// What the data say, and a batch of the proof's input as a loader gives it.
struct ProofData {
  DataInfo info;
  Batch batch;
  std::string compared_on;  ///< "4 samples of data.validation"
};

Batch validation_batch(const data::Dataset& dataset, const data::LoaderConfig& config, const Context& context) {
  const auto sampler = data::sequential_sampler(dataset.size(), std::min(kSamples, dataset.size()));
  data::Loader loader(dataset, *sampler, data::Mode::kEvaluation, config, context);
  loader.start(0);
  auto batch = loader.next();
  if (!batch) throw UserError({"data.validation", "no sample can be read to prove the merge with", ""});
  return *std::move(batch);
}

/// Numbers in the place of what the data would hold: bytes of any value, others from a normal distribution.
Batch random_batch(const DataInfo& info, uint64_t seed) {
  constexpr int64_t kFree = 64;  // of a side that may have any length
  constexpr int64_t kByteValues = 256;
  const auto generator = at::detail::createCPUGenerator(seed);
  Batch batch;
  batch.keys.resize(kSamples);
  for (const auto& field : info.fields) {
    std::vector<int64_t> shape{kSamples};
    for (const int64_t side : field.shape) shape.push_back(side < 0 ? kFree : side);
    if (field.dtype == at::kByte) {
      batch.fields[field.name] = at::randint(kByteValues, shape, generator, at::kByte);
    } else if (at::isFloatingType(field.dtype)) {
      batch.fields[field.name] = at::randn(shape, generator).to(field.dtype);
    }
  }
  return batch;
}

/// A few real samples; without the validation data random ones, and what the run has kept of the data it was trained
/// on. \throws UserError when it has kept nothing.
ProofData proof_data(const ExperimentConfig& config, const std::filesystem::path& run, const Context& context) {
  try {
    const auto dataset = evaluation_data(config.data, Split::kValidation);
    auto batch = validation_batch(dataset, config.data.loader, context);
    const auto compared_on = format("{} samples of data.validation", batch.size());
    return {dataset.info, std::move(batch), compared_on};
  } catch (const UserError& error) {
    auto kept = read_run_data(run);
    if (!kept) throw;
    log_info("no validation data ({}): the proof takes random input", error.problems().front().text());
    auto batch = random_batch(*kept, config.seed);
    return {*std::move(kept), std::move(batch), "random input"};
  }
}

exporting::Proof prove(const models::AnyNetwork& network, const models::AnyNetwork& deploy, const Batch& batch) {
  if (auto* forecaster = network.forecaster()) {
    return exporting::verify(*forecaster, *deploy.forecaster(), {batch.tensor("window"), batch.tensor("marks")});
  }
  return exporting::verify(*network.classifier(), *deploy.classifier(), batch.tensor("image"));
}

template <class Signature>
std::string json_of(const config::Choice<Signature>& choice) {
  return config::write_json(config::snapshot(config::type_of<config::Choice<Signature>>(), &choice));
}

void report(const ExportOptions& options, const exporting::DeployFile& file, const std::string& compared_on,
            bool json) {
  if (json) {
    const nlohmann::ordered_json line{
        {"file", options.output.string()},     {"blocks", file.proof.blocks.size()},
        {"compared_on", compared_on},          {"worst_f64", file.proof.worst_f64()},
        {"worst_f32", file.proof.worst_f32()}, {"logits_difference", file.proof.logits_difference}};
    print_json(line);
    return;
  }
  std::cout << format("merged {} blocks; largest difference from the branches they came from, on {}:\n",
                      file.proof.blocks.size(), compared_on)
            << format("  in float64  {:.1e}  (limit {:.0e})\n", file.proof.worst_f64(), exporting::kProofLimitF64)
            << format("  in float32  {:.1e}  (limit {:.0e})\n", file.proof.worst_f32(), exporting::kProofLimitF32)
            << format("  logits      {:.1e}\n", file.proof.logits_difference)
            << format("written: {} ({:.1f} MB)\n", options.output.string(),
                      static_cast<double>(std::filesystem::file_size(options.output)) / 1e6);
}

ExitCode export_run(const ExportOptions& options, const Program& program) {
  if (options.output.extension() != ".safetensors") {
    throw UserError({"--output",
                     format("expected a name that ends in .safetensors, got \"{}\"", options.output.string()),
                     "Deploy files are safetensors files."});
  }
  const auto folder = options.output.has_parent_path() ? options.output.parent_path() : ".";
  if (!std::filesystem::is_directory(folder)) {
    throw UserError({"--output", format("there is no folder {}", folder.string()), "Make it first."});
  }
  const auto registries = program.registries();
  const auto run = open_run(options.target.path, options.weights, options.target.overrides, registries);
  // Merging and its proof want float64 and exact sums, whatever the run trained on; that may not even be here.
  const Context context = make_context("cpu", run.config.threads, run.config.seed);
  auto data = proof_data(run.config, run_of(options.target.path), context);
  auto network = load_network(run, data.info, context);
  const auto task = make_task(run.config.task, network, data.info);
  task->prepare(data.batch, {}, /*training=*/false);
  log_info("weights: {}", run.weights_file.string());

  exporting::DeployFile file{.network = exporting::merged(network),
                             .pipeline = json_of(run.config.data.pipeline),
                             .task = json_of(run.config.task),
                             .data = data.info,
                             .proof = {}};
  file.proof = prove(network, file.network, data.batch);
  exporting::require(file.proof);
  exporting::write_deploy_file(options.output, file);
  report(options, file, data.compared_on, program.json);
  return ExitCode::kGood;
}

}  // namespace

void add_export(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("export", "Merge a trained network, prove the merge, write the deploy file.");
  auto options = std::make_shared<ExportOptions>();
  add_target(*command, options->target, "RUN", "Run folder or checkpoint folder.");
  command->add_option("--output", options->output, "Deploy file to write: NAME.safetensors.")->required();
  add_weights_choice(*command, options->weights);
  command->callback([options, &program] {
    program.run = [options, &program] {
      if (!is_run(options->target.path)) {
        throw UserError({options->target.path, "expected a run folder or a checkpoint folder, got something else",
                         "Pass the folder that `unireplk train` made."});
      }
      return export_run(*options, program);
    };
  });
}

}  // namespace unireplk::runner
