#include <signal.h>

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "unireplk/core/clock.h"
#include "unireplk/core/log.h"
#include "unireplk/io/files.h"
#include "unireplk/runner/child_program.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/runner/kill_phase.h"
#include "unireplk/runner/program.h"
#include "unireplk/train/checkpoint_store.h"
#include "unireplk/train/run_folder.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

struct VerifyOptions {
  Target target;
  int64_t kills = 10;
  uint64_t seed = 0;
  bool keep = false;
  std::vector<fs::path> plugins;
};

/// One training that is started as often as it takes; its run folder is `output`/<name>.
class Training {
 public:
  Training(const VerifyOptions& options, const std::string& name, const fs::path& output,
           std::vector<std::string> overrides)
      : run_(output / name),
        log_(output.string() + ".log"),
        arguments_(command_arguments(options.plugins, "train", options.target)) {
    arguments_.insert(arguments_.end(), overrides.begin(), overrides.end());
    arguments_.push_back("output=" + output.string());
    arguments_.push_back("--resume");
  }

  const fs::path& run() const { return run_; }

  /// Run for `seconds` at most, then kill. True when the training has come to its end by itself.
  bool run_for(double seconds) {
    log_begin_ = log_.size();
    ChildProgram child(arguments_, log_.descriptor(), log_.descriptor());
    const auto exit_code = child.wait_for(seconds);
    if (!exit_code) {
      child.send(SIGKILL);
      child.wait();
      return false;
    }
    check(*exit_code);
    return true;
  }

  void run_to_end() {
    ChildProgram child(arguments_, log_.descriptor(), log_.descriptor());
    check(child.wait());
  }

  /// What the process of run_for() has logged.
  std::string said() const { return io::read_file(log_.path()).substr(log_begin_); }

  /// The step of the newest checkpoint; 0 before the first.
  int64_t saved_step() const {
    const auto steps = train::CheckpointStore::steps_in(train::checkpoints_of(run_));
    return steps.empty() ? 0 : steps.back();
  }

 private:
  void check(int exit_code) const {
    if (exit_code == 0) return;
    throw UserError({log_.path().string(), format("the training ended with exit code {}", exit_code),
                     "That file holds what it said."});
  }

  fs::path run_;
  LogFile log_;
  size_t log_begin_ = 0;
  std::vector<std::string> arguments_;
};

/// Files of a finished run that an interruption must not change, relative to its folder: the metrics and its last
/// checkpoint.
std::vector<fs::path> lasting_files(const fs::path& run) {
  const auto last = train::CheckpointStore(train::checkpoints_of(run), 1).pointed("latest");
  UNIREPLK_CHECK(last, "{}: a finished run without a checkpoint", run.string());
  std::vector<fs::path> files{"metrics.jsonl"};
  for (const auto& entry : fs::directory_iterator(*last)) files.push_back(fs::relative(entry.path(), run));
  std::sort(files.begin(), files.end());
  return files;
}

/// Those of them whose bytes differ, or that the other run lacks.
std::vector<fs::path> differing_files(const fs::path& expected, const fs::path& actual) {
  std::vector<fs::path> result;
  for (const auto& file : lasting_files(expected)) {
    const bool equal = fs::exists(actual / file) && io::read_file(expected / file) == io::read_file(actual / file);
    if (!equal) result.push_back(file);
  }
  return result;
}

struct Kill {
  KillPhase phase = KillPhase::kStart;
  int64_t saved_step = 0;  ///< of the newest checkpoint
};

struct Verdict {
  int64_t steps = 0;
  int64_t trainings = 0;  ///< that were killed and brought to their end
  std::vector<Kill> kills;
  std::vector<std::string> differences;
};

/// Kills trainings at random instants until there were enough kills, brings each to its end and compares it.
class Verification {
 public:
  Verification(const VerifyOptions& options, std::string name, fs::path folder)
      : options_(options), name_(std::move(name)), folder_(std::move(folder)), random_(options.seed) {}

  Verdict run() {
    Training unbroken(options_, name_, folder_ / "unbroken", {});
    const Stopwatch clock;
    unbroken.run_to_end();
    seconds_ = clock.seconds();
    course_ = course_of(unbroken.run());
    verdict_.steps = course_.last_step;
    while (kills() < options_.kills) {
      ++verdict_.trainings;
      Training killed(options_, name_, folder_ / format("killed_{}", verdict_.trainings), {saving_often()});
      bring_to_end(killed);
      for (const auto& file : differing_files(unbroken.run(), killed.run())) {
        verdict_.differences.push_back((killed.run() / file).string());
      }
    }
    return verdict_;
  }

 private:
  int64_t kills() const { return static_cast<int64_t>(verdict_.kills.size()); }

  /// A checkpoint about twice between two kills, or nothing would ever be resumed.
  std::string saving_often() const {
    return format("train.checkpoint.every_steps={}", std::max<int64_t>(1, verdict_.steps / (2 * options_.kills + 1)));
  }

  void bring_to_end(Training& training) {
    while (kills() < options_.kills) {
      if (training.run_for(next_delay(training))) return;
      const Kill kill{phase_of_kill(training.run(), training.said(), course_), training.saved_step()};
      verdict_.kills.push_back(kill);
      log_info("kill {} of {}: {}, saved up to step {}", kills(), options_.kills, name_of(kill.phase), kill.saved_step);
    }
    training.run_to_end();
  }

  /// Anywhere from the start of the process to twice the time that each kill to come may take.
  double next_delay(const Training& training) {
    const double done = static_cast<double>(training.saved_step()) / static_cast<double>(verdict_.steps);
    const auto left = static_cast<double>(options_.kills - kills() + 1);
    std::uniform_real_distribution<double> anywhere(0, kStart + 2 * seconds_ * (1 - done) / left);
    return anywhere(random_);
  }

  static constexpr double kStart = 1;  // seconds that a process takes to go on, about

  const VerifyOptions& options_;
  std::string name_;
  fs::path folder_;
  std::mt19937_64 random_;
  double seconds_ = 0;  ///< of the unbroken training
  Course course_;
  Verdict verdict_;
};

int64_t count_of(KillPhase phase, const std::vector<Kill>& kills) {
  return std::ranges::count(kills, phase, &Kill::phase);
}

nlohmann::ordered_json json_of(const VerifyOptions& options, const Verdict& verdict) {
  nlohmann::ordered_json phases, kills_in, resumed_from;
  for (const auto& kill : verdict.kills) {
    phases.push_back(name_of(kill.phase));
    resumed_from.push_back(kill.saved_step);
  }
  for (const auto& [phase, name, meaning] : kKillPhases) kills_in[std::string(name)] = count_of(phase, verdict.kills);
  return {{"kills", verdict.kills.size()},
          {"kills_in", kills_in},
          {"trainings", verdict.trainings},
          {"steps", verdict.steps},
          {"phases", phases},
          {"resumed_from", resumed_from},
          {"seed", options.seed},
          {"equal", verdict.differences.empty()},
          {"differences", verdict.differences}};
}

void report(const VerifyOptions& options, const Verdict& verdict, bool json) {
  if (json) return print_json(json_of(options, verdict));
  std::cout << format("{} kills of {} trainings of {} steps, seed {}\n", verdict.kills.size(), verdict.trainings,
                      verdict.steps, options.seed);
  for (const auto& [phase, name, meaning] : kKillPhases) {
    std::cout << format("  {:<10} {:>6}  {}\n", name, count_of(phase, verdict.kills), meaning);
  }
  std::cout << (verdict.differences.empty()
                    ? "every one ends with the bytes of the unbroken training: weights, averages, optimizer, state, "
                      "metrics\n"
                    : format("these files differ from the unbroken training's:\n  {}\n",
                             fmt::join(verdict.differences, "\n  ")));
}

ExitCode verify_resume(VerifyOptions& options, const Program& program) {
  options.plugins = program.plugins;
  auto registries = program.registries();
  const auto config = load_experiment(options.target.path, options.target.overrides, registries);
  const fs::path folder = config.output / (config.name + "_verify_resume");
  if (fs::exists(folder)) {
    throw UserError({folder.string(), "the folder of an earlier verification exists", "Remove it."});
  }
  fs::create_directories(folder);
  if (options.seed == 0) options.seed = std::random_device{}();
  const Verdict verdict = Verification(options, config.name, folder).run();
  report(options, verdict, program.json);
  if (!verdict.differences.empty()) return ExitCode::kInternal;
  if (!options.keep) fs::remove_all(folder);
  return ExitCode::kGood;
}

}  // namespace

void add_verify_resume(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand(
      "verify-resume",
      "Train once unbroken and once with kills at random instants; both must end with the same bytes.");
  auto options = std::make_shared<VerifyOptions>();
  add_target(*command, options->target, "CONFIG", "YAML file.");
  command->add_option("--kills", options->kills, "How often to kill.")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of the instants; 0 draws one.")->capture_default_str();
  command->add_flag("--keep", options->keep, "Keep the folder <output>/<name>_verify_resume.");
  command->callback(
      [options, &program] { program.run = [options, &program] { return verify_resume(*options, program); }; });
}

}  // namespace unireplk::runner
