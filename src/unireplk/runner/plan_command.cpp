#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/analysis/machine.h"
#include "unireplk/analysis/plan.h"
#include "unireplk/core/clock.h"
#include "unireplk/core/log.h"
#include "unireplk/io/files.h"
#include "unireplk/runner/child_program.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/runner/program.h"
#include "unireplk/runner/training_parts.h"
#include "unireplk/tensor/out_of_memory.h"
#include "unireplk/tensor/synchronise.h"
#include "unireplk/train/run_length.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;
using analysis::MicroBatchCost;
using Json = nlohmann::ordered_json;

struct PlanOptions {
  Target target;
  int64_t steps = 3;
  double seconds = 60;
  bool single = false;
  std::vector<fs::path> plugins;
};

/// Takes time and memory of steps as they end.
class StepWatch : public train::Observer {
 public:
  /// \param untimed  steps at the beginning that also make ready.
  StepWatch(at::Device device, int64_t untimed) : device_(device), untimed_(untimed) {}

  void after_step(int64_t) override {
    synchronise(device_);
    times_ms_.push_back(clock_.seconds() * 1e3);
    clock_.restart();
    peak_mib_ = analysis::peak_memory_mib(device_);
  }

  int64_t timed() const { return static_cast<int64_t>(times_ms_.size()) - untimed_; }
  double peak_mib() const { return peak_mib_; }
  double step_ms() const { return analysis::median({times_ms_.begin() + untimed_, times_ms_.end()}); }

 private:
  at::Device device_;
  int64_t untimed_;
  Stopwatch clock_;
  std::vector<double> times_ms_;
  double peak_mib_ = 0;
};

/// Each step is one micro-batch, and nothing besides is done, without end: schedules fit a run of any length.
train::TrainConfig bare(train::TrainConfig config) {
  constexpr int64_t kNever = 1'000'000;
  config.epochs = kNever;
  config.max_steps.reset();
  config.validate_every_epochs = kNever;
  config.accumulate_steps = 1;
  config.halve_on_out_of_memory = false;
  config.checkpoint = {.every_steps = {}, .every_epochs = {}, .every_minutes = {}, .keep = 1};
  config.profile.reset();
  config.time_budget.reset();
  return config;
}

/// The first step and, where steps are recorded, those before, and the one that is recorded.
int64_t untimed_steps(const train::TrainConfig& config) {
  return config.cuda_graphs ? train::StepGraphs::kRehearsals + 1 : 1;
}

/// Train some steps in this process, with micro-batches as the config says.
MicroBatchCost measure_here(ExperimentConfig config, const config::Registries& registries, int64_t steps) {
  config.train = bare(config.train);
  settle_statistics(config.data, registries);
  MicroBatchCost cost{.size = config.data.loader.batch_size};
  try {
    const Context context = make_context(config.device, config.threads, config.seed);
    TrainingParts parts(config, context, registries, /*resumes=*/false);
    StepWatch watch(context.device, untimed_steps(config.train));
    const train::RunFolder folder(config.run_folder(), /*resume=*/false);
    train::Trainer trainer(config.train, parts.for_trainer(folder, [&] { return watch.timed() >= steps; }));
    trainer.observe(watch);
    trainer.run();
    cost.fits = true;
    cost.peak_mib = watch.peak_mib();
    cost.step_ms = watch.step_ms();
  } catch (const MemoryError&) {
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
  }
  return cost;
}

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of('\n') + 1;
  const size_t begin = text.find_last_of('\n', end > 0 ? end - 1 : 0);
  return text.substr(begin == std::string::npos ? 0 : begin + 1, end - (begin == std::string::npos ? 0 : begin + 1));
}

/// Measure in a process of its own, whose peak memory is that of this size alone, and whose end harms nobody.
MicroBatchCost measure_apart(const PlanOptions& options, const fs::path& output, int64_t size) {
  const io::ScratchFolder folder(output / format("{}", size));
  const LogFile out(folder.path() / "out"), err(folder.path() / "err");
  auto arguments = command_arguments(options.plugins, "plan", options.target);
  arguments.insert(arguments.end(),
                   {"--single", "--json", "--steps", format("{}", options.steps),
                    format("data.loader.batch_size={}", size), "output=" + (folder.path() / "runs").string()});
  log_info("measuring micro-batches of {}", size);
  const int exit_code = ChildProgram(arguments, out.descriptor(), err.descriptor()).wait();
  if (exit_code == 128 + SIGKILL) return {.size = size};  // so ends Linux what takes too much
  if (exit_code != 0) {
    throw UserError({format("micro-batches of {}", size),
                     format("exit code {}: {}", exit_code, last_line(io::read_file(err.path()))), ""});
  }
  const Json found = Json::parse(io::read_file(out.path()));
  return {.size = found.at("micro_batch"),
          .fits = found.at("fits"),
          .peak_mib = found.value("peak_mib", 0.0),
          .step_ms = found.value("step_ms", 0.0)};
}

/// What a training is, whatever its micro-batches are.
struct Course {
  int64_t steps = 0;
  int64_t samples_per_step = 0;

  double hours(const MicroBatchCost& cost) const {
    return static_cast<double>(steps * samples_per_step) / cost.samples_per_second() / 3600;
  }
  /// Micro-batches of a step; nothing when they do not make it up.
  std::optional<int64_t> accumulated(const MicroBatchCost& cost) const {
    if (samples_per_step % cost.size != 0) return {};
    return samples_per_step / cost.size;
  }
};

struct Plan {
  at::Device device = at::kCPU;
  std::optional<double> free_mib = {};  ///< of the machine, for a CPU
  Course course = {};
  std::vector<MicroBatchCost> costs = {};
};

Plan make_plan(const PlanOptions& options, const ExperimentConfig& config) {
  const auto dataset = training_data(config.data);
  const auto sampler = training_order(config, dataset);
  Plan plan{.device = make_context(config.device, config.threads).device};
  plan.course = {.steps = train::run_length(config.train, sampler->steps(0)).total_steps,
                 .samples_per_step = config.data.loader.batch_size * config.train.accumulate_steps};
  if (plan.device.is_cpu()) plan.free_mib = analysis::free_memory_mib();
  io::make_folders(config.output);
  const io::ScratchFolder work(config.output / format(".{}_plan.{}", config.name, getpid()));
  plan.costs = analysis::search_micro_batches(config.data.loader.batch_size,
                                              {.multiple = batch_multiple(config),
                                               .most = dataset.size(),
                                               .most_ms = options.seconds * 1e3,
                                               .most_mib = plan.free_mib},
                                              [&](int64_t size) { return measure_apart(options, work.path(), size); });
  return plan;
}

Json json_of(const MicroBatchCost& cost) {
  Json row = {{"micro_batch", cost.size}, {"fits", cost.fits}};
  if (!cost.fits) return row;
  row.update({{"peak_mib", cost.peak_mib}, {"step_ms", cost.step_ms}});
  return row;
}

Json json_of(const Plan& plan) {
  Json rows = Json::array();
  for (const auto& cost : plan.costs) {
    Json& row = rows.emplace_back(json_of(cost));
    if (!cost.fits) continue;
    row.update({{"samples_per_second", cost.samples_per_second()}, {"hours", plan.course.hours(cost)}});
    if (const auto count = plan.course.accumulated(cost)) row["accumulate_steps"] = *count;
  }
  Json line = {{"device", describe_device(plan.device)},
               {"steps", plan.course.steps},
               {"samples_per_step", plan.course.samples_per_step},
               {"sizes", std::move(rows)}};
  if (plan.free_mib) line["free_mib"] = *plan.free_mib;
  if (const auto* best = analysis::largest_part_of(plan.course.samples_per_step, plan.costs)) {
    line["batch_size"] = best->size;
    line["accumulate_steps"] = *plan.course.accumulated(*best);
    line["hours"] = plan.course.hours(*best);
  }
  return line;
}

void print(const Plan& plan) {
  std::cout << format("{}{}; {} steps of {} samples\n", describe_device(plan.device),
                      plan.free_mib ? format(", {:.0f} MiB free", *plan.free_mib) : "", plan.course.steps,
                      plan.course.samples_per_step)
            << "micro-batch  accumulate  peak MiB   step ms  samples/s     hours\n";
  for (const auto& cost : plan.costs) {
    if (!cost.fits) {
      std::cout << format("{:>11}  does not fit\n", cost.size);
      continue;
    }
    const auto count = plan.course.accumulated(cost);
    std::cout << format("{:>11}  {:>10}  {:>8.0f}  {:>8.1f}  {:>9.1f}  {:>8.2f}\n", cost.size,
                        count ? format("{}", *count) : "-", cost.peak_mib, cost.step_ms, cost.samples_per_second(),
                        plan.course.hours(cost));
  }
  const auto* best = analysis::largest_part_of(plan.course.samples_per_step, plan.costs);
  std::cout << (best ? format(
                           "data.loader.batch_size={} train.accumulate_steps={} makes the same steps in {:.2f} hours, "
                           "validations not counted\n",
                           best->size, *plan.course.accumulated(*best), plan.course.hours(*best))
                     : "no micro-batch that makes up a step fits: see Memory in docs/config.md\n");
}

ExitCode plan(PlanOptions& options, const Program& program) {
  options.plugins = program.plugins;
  auto registries = program.registries();
  const auto config = load_experiment(options.target.path, options.target.overrides, registries);
  if (options.single) {
    print_json(json_of(measure_here(config, registries, options.steps)));
    return ExitCode::kGood;
  }
  const Plan found = make_plan(options, config);
  if (program.json) {
    print_json(json_of(found));
  } else {
    print(found);
  }
  return ExitCode::kGood;
}

}  // namespace

void add_plan(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand(
      "plan", "Train a few steps with micro-batches of several sizes: what memory holds, and how long the run takes.");
  auto options = std::make_shared<PlanOptions>();
  add_target(*command, options->target, "CONFIG", "YAML file.");
  command->add_option("--steps", options->steps, "Steps that are timed for each size, after those that make ready.")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command->add_option("--seconds", options->seconds, "Longest step: larger micro-batches are not tried.")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  command->add_flag("--single", options->single, "Measure data.loader.batch_size alone, in this process.");
  command->callback([options, &program] { program.run = [options, &program] { return plan(*options, program); }; });
}

}  // namespace unireplk::runner
