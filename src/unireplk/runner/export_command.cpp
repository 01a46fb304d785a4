#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/config/dump.h"
#include "unireplk/core/log.h"
#include "unireplk/data/sampler.h"
#include "unireplk/export/merge.h"
#include "unireplk/runner/program.h"
#include "unireplk/runner/weights.h"

namespace unireplk::runner {
namespace {

struct ExportOptions {
  Target target;
  WeightsChoice weights;
  std::filesystem::path output;
};

/// A few real samples as the network sees them: the input of the proof.
Batch proof_batch(tasks::Task& task, const data::Dataset& dataset, const data::LoaderConfig& config,
                  const Context& context) {
  constexpr int64_t kSamples = 4;
  const auto sampler = data::sequential_sampler(dataset.size(), std::min(kSamples, dataset.size()));
  data::Loader loader(dataset, *sampler, data::Mode::kEvaluation, config, context);
  loader.start(0);
  auto batch = loader.next();
  if (!batch) throw UserError({"data.validation", "no sample can be read to prove the merge with", ""});
  task.prepare(*batch, {}, /*training=*/false);
  return *std::move(batch);
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

void report(const ExportOptions& options, const exporting::DeployFile& file, bool json) {
  if (json) {
    const nlohmann::ordered_json line{{"file", options.output.string()},
                                      {"blocks", file.proof.blocks.size()},
                                      {"worst_f64", file.proof.worst_f64()},
                                      {"worst_f32", file.proof.worst_f32()},
                                      {"logits_difference", file.proof.logits_difference}};
    print_json(line);
    return;
  }
  std::cout << format("merged {} blocks; largest difference from the branches they came from:\n",
                      file.proof.blocks.size())
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
  const auto dataset = evaluation_data(run.config.data, Split::kValidation);
  auto network = load_network(run, dataset.info, context);
  const auto task = make_task(run.config.task, network, dataset.info);
  log_info("weights: {}", run.weights_file.string());

  exporting::DeployFile file{.network = exporting::merged(network),
                             .pipeline = json_of(run.config.data.pipeline),
                             .task = json_of(run.config.task),
                             .data = dataset.info,
                             .proof = {}};
  file.proof = prove(network, file.network, proof_batch(*task, dataset, run.config.data.loader, context));
  exporting::require(file.proof);
  exporting::write_deploy_file(options.output, file);
  report(options, file, program.json);
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
