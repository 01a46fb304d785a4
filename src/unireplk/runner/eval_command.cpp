#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/core/log.h"
#include "unireplk/data/sampler.h"
#include "unireplk/export/merge.h"
#include "unireplk/runner/baselines.h"
#include "unireplk/runner/program.h"
#include "unireplk/runner/weights.h"
#include "unireplk/train/evaluate.h"

namespace unireplk::runner {
namespace {

struct EvalOptions {
  Target target;
  WeightsChoice weights;
  std::string form;  ///< empty: as the weights are
  std::string split = "validation";

  Split data() const { return split == "test" ? Split::kTest : Split::kValidation; }
};

/// What a deploy file does not carry: data, and where to run.
struct EvaluationConfig {
  struct Data {
    config::Choice<data::SourceSignature> validation;
    config::Choice<data::SourceSignature> test;
    data::LoaderConfig loader;

    static void fields(auto& self, auto&& visit) {
      visit("validation", self.validation, "What to measure on.");
      visit("test", self.test, "What to measure on with --split test.");
      visit("loader", self.loader, "Batches and the threads that make them.");
    }
  };
  Data data;
  std::string device = "auto";
  int64_t threads = 0;

  static void fields(auto& self, auto&& visit) {
    visit("data", self.data, "The data set.");
    visit("device", self.device, "auto, cpu, cuda or cuda:N.");
    visit("threads", self.threads, config::between(0, 1024), "Threads of one operation; 0 takes every core.");
  }
};

void print(const std::string& what, const std::vector<tasks::Metric>& metrics, int64_t samples,
           const std::vector<Baseline>& baselines, bool json) {
  if (json) {
    nlohmann::ordered_json line{{"weights", what}, {"samples", samples}};
    for (const auto& metric : metrics) line[metric.name] = metric.value;
    for (const auto& baseline : baselines) {
      for (const auto& metric : baseline.metrics) line["baselines"][baseline.name][metric.name] = metric.value;
      for (const auto& [name, ratio] : baseline.ratios(metrics)) line["ratios"][baseline.name][name] = ratio;
    }
    print_json(line);
    return;
  }
  std::cout << format("{} on {} samples\n", what, samples);
  for (const auto& metric : metrics)
    std::cout << format("  {:<8}{:>9.4f} {}\n", metric.name, metric.value, metric.unit);
  for (const auto& baseline : baselines) std::cout << format("  {}\n", baseline.text(metrics));
}

ExitCode measure(tasks::Task& task, const data::Dataset& dataset, const data::LoaderConfig& config,
                 const Context& context, train::Precision precision, const std::string& what, Baselines& baselines,
                 bool json) {
  const auto sampler = data::sequential_sampler(dataset.size(), config.batch_size);
  data::Loader loader(dataset, *sampler, data::Mode::kEvaluation, config, context);
  task.network().eval();
  const auto metrics = train::evaluate(task, loader, train::autocast_for(precision, context.device));
  print(what, *metrics, dataset.size() - loader.bad().count, baselines.beside(dataset), json);
  return ExitCode::kGood;
}

ExitCode eval_run(const EvalOptions& options, const Program& program) {
  const auto registries = program.registries();
  const auto run = open_run(options.target.path, options.weights, options.target.overrides, registries);
  const Context context = make_context(run.config.device, run.config.threads, run.config.seed);
  const auto dataset = evaluation_data(run.config.data, options.data());
  auto network = load_network(run, dataset.info, context);
  const std::string form = options.form == "deploy" ? "deploy" : "train";
  if (form == "deploy") network = exporting::merged(network);
  const auto task = make_task(run.config.task, network, dataset.info);
  const auto what = format("{}, {} form", run.weights_file.string(), form);
  const auto& data = run.config.data;
  const auto baselines = make_baselines(run.config.task, data.pipeline, [&data] { return data.train.make(); });
  return measure(*task, dataset, data.loader, context, run.config.train.precision, what, *baselines, program.json);
}

ExitCode eval_deploy_file(const EvalOptions& options, const Program& program) {
  refuse_weights_choice(options.weights, "a deploy file");
  if (options.form == "train") {
    throw UserError({"--form", "expected deploy, as the branches of a deploy file are merged, got \"train\"",
                     "Leave it out, or pass the folder of the run."});
  }
  const auto registries = program.registries();
  const auto config =
      config::parse<EvaluationConfig>(config::load_text("{}", "command line", options.target.overrides), registries);
  const Context context = make_context(config.device, config.threads);
  auto file = exporting::read_deploy_file(options.target.path);
  const auto parts = deploy_parts(file, options.target.path, registries);
  const DataConfig data{.train = {},
                        .validation = config.data.validation,
                        .test = config.data.test,
                        .pipeline = parts.pipeline,
                        .sampler = {},
                        .loader = config.data.loader};
  const auto dataset = evaluation_data(data, options.data());
  check_same_classes(file.data, dataset.info, key_of(options.data()));
  file.network->to(context.device);
  const auto task = make_task(parts.task, file.network, file.data);
  const auto baselines = make_baselines(parts.task, parts.pipeline, {});  // a deploy file names no training data
  return measure(*task, dataset, config.data.loader, context, train::Precision::kFp32,
                 options.target.path + ", deploy form", *baselines, program.json);
}

}  // namespace

void add_eval(CLI::App& app, Program& program) {
  auto* command =
      app.add_subcommand("eval", "Metrics of a run, a checkpoint or a deploy file on data to measure with.");
  auto options = std::make_shared<EvalOptions>();
  add_target(*command, options->target, "RUN",
             "Run folder, checkpoint folder, or deploy file with data.validation.*=... .");
  add_weights_choice(*command, options->weights);
  command->add_option("--split", options->split, "validation, or test.")
      ->check(CLI::IsMember({"validation", "test"}))
      ->capture_default_str();
  command->add_option("--form", options->form, "train, or deploy: merge first; train, of a deploy file deploy.")
      ->check(CLI::IsMember({"train", "deploy"}));
  command->callback([options, &program] {
    program.run = [options, &program] {
      require_existing(options->target.path);
      return is_run(options->target.path) ? eval_run(*options, program) : eval_deploy_file(*options, program);
    };
  });
}

}  // namespace unireplk::runner
