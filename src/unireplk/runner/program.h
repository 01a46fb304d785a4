#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "unireplk/core/error.h"
#include "unireplk/runner/plugins.h"

namespace CLI {
class App;
}

namespace unireplk::runner {

// What numbers on the command line may be at most.
inline constexpr int kMostCounted = 1 << 20;  ///< samples, classes, repetitions
inline constexpr int kMostPixels = 65536;     ///< of a side
inline constexpr int kMostThreads = 1024;

/// What the commands share: each adds itself to the command line and leaves its work in `run`.
struct Program {
  bool json = false;                           ///< one machine-readable line on stdout; people's text goes to stderr
  std::vector<std::filesystem::path> plugins;  ///< of the command line
  std::function<ExitCode()> run;

  /// What `name:` may say: builtins, and what these plugins add.
  PluginRegistries registries() const { return PluginRegistries(plugins); }
};

/// Run the program: parse the command line, do the work, report errors.
ExitCode run_program(int argc, const char* const* argv);

/// Print one line of JSON on stdout. Bytes of names that are not UTF-8 are replaced.
void print_json(const nlohmann::ordered_json& line);

/// `key.path=value` arguments of a command, and its CONFIG, RUN or WEIGHTS argument.
struct Target {
  std::string path;
  std::vector<std::string> overrides;
};

/// Add the positional arguments of a command that takes a target and overrides.
void add_target(CLI::App& command, Target& target, const std::string& name, const std::string& help);

// One function for each command; each lives in <name>_command.cpp.
void add_init(CLI::App& app, Program& program);
void add_train(CLI::App& app, Program& program);
void add_eval(CLI::App& app, Program& program);
void add_predict(CLI::App& app, Program& program);
void add_export(CLI::App& app, Program& program);
void add_convert(CLI::App& app, Program& program);
void add_pack(CLI::App& app, Program& program);
void add_inspect(CLI::App& app, Program& program);
void add_config(CLI::App& app, Program& program);
void add_list(CLI::App& app, Program& program);
void add_bench(CLI::App& app, Program& program);
void add_doctor(CLI::App& app, Program& program);
void add_plan(CLI::App& app, Program& program);
void add_verify_resume(CLI::App& app, Program& program);

}  // namespace unireplk::runner
