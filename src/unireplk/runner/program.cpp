#include "unireplk/runner/program.h"

#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "unireplk/config/text.h"
#include "unireplk/core/log.h"
#include "unireplk/core/memory.h"
#include "unireplk/runner/version.h"
#include "unireplk/tensor/memory.h"
#include "unireplk/tensor/out_of_memory.h"

namespace unireplk::runner {
namespace {

/// A word in the place of a command that is none.
std::optional<Problem> unknown_command(const CLI::App& parent, const std::vector<std::string>& words,
                                       const std::string& place, const std::string& help) {
  if (parent.get_require_subcommand_min() == 0 || words.empty() || words.front().starts_with('-')) return {};
  std::vector<std::string> known;
  for (const auto* command : parent.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); })) {
    known.push_back(command->get_name());
  }
  return Problem{place, format("there is no command \"{}\"", words.front()),
                 config::suggestion(words.front(), known) + " " + help};
}

/// A mistake on the command line itself, in the form of all other messages.
ExitCode report_usage(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {  // --help, --version
    return static_cast<ExitCode>(app.exit(error, std::cout, std::cerr));
  }
  std::string command = "unireplk";
  const CLI::App* last = &app;
  for (; !last->get_subcommands().empty(); command += " " + last->get_name()) last = last->get_subcommands().front();
  const std::string help = "See " + command + " --help.";
  std::cerr
      << unknown_command(*last, app.remaining(), command, help).value_or(Problem{command, error.what(), help}).text()
      << '\n';
  return ExitCode::kUser;
}

/// LibTorch's profiler tells on stderr that a machine has no GPU. To be called before there are threads.
void quieten_profiler() { setenv("KINETO_LOG_LEVEL", "5", /*overwrite=*/0); }

/// An error that no part of the program has put into words; too little memory is the user's to mend.
ExitCode report_unexpected(const std::exception& error) {
  if (is_out_of_memory(error)) {
    std::cerr << Problem{"memory", "it is not enough: " + short_message(error),
                         "Take fewer or smaller samples at a time, or a smaller network."}
                     .text()
              << '\n';
    return ExitCode::kUser;
  }
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  std::cerr << "internal error: " << (of_torch ? of_torch->what_without_backtrace() : error.what()) << '\n';
  return ExitCode::kInternal;
}

ExitCode run_guarded(const std::function<ExitCode()>& run) {
  try {
    const ExitCode code = run();
    if (!std::cout.flush()) throw UserError({"stdout", "cannot be written", "Is the disk full, or the reader gone?"});
    return code;
  } catch (const UserError& error) {
    std::cerr << error.what() << '\n';
    return ExitCode::kUser;
  } catch (const std::filesystem::filesystem_error& error) {
    const std::string place = error.path1().empty() ? "disk" : error.path1().string();
    std::cerr << Problem{place, error.code().message(), "Check the path, its permissions and the space left."}.text()
              << '\n';
    return ExitCode::kUser;
  } catch (const std::exception& error) {
    return report_unexpected(error);
  }
}

}  // namespace

void print_json(const nlohmann::ordered_json& line) {
  std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void add_target(CLI::App& command, Target& target, const std::string& name, const std::string& help) {
  command.add_option(name, target.path, help)->required();
  command.add_option("overrides", target.overrides, "key.path=value: change a value of the config")
      ->type_name("KEY=VALUE");
}

ExitCode run_program(int argc, const char* const* argv) {
  keep_freed_memory();
  use_huge_pages();
  quieten_profiler();
  CLI::App app{"UniRepLKNet: train, fine-tune and deploy large-kernel ConvNets from a YAML file.", "unireplk"};
  Program program;
  app.set_version_flag("--version", version_line());
  app.add_flag("--json", program.json, "Print one machine-readable line on stdout.");
  app.add_option("--plugin", program.plugins, "Shared libraries that add names; see also `plugins` in configs.")
      ->type_name("FILE")
      ->allow_extra_args(false);
  app.require_subcommand(1);
  app.fallthrough();
  app.set_help_all_flag("--help-all", "Help of every command.");

  add_init(app, program);
  add_train(app, program);
  add_eval(app, program);
  add_predict(app, program);
  add_export(app, program);
  add_convert(app, program);
  add_pack(app, program);
  add_inspect(app, program);
  add_config(app, program);
  add_list(app, program);
  add_bench(app, program);
  add_plan(app, program);
  add_doctor(app, program);
  add_verify_resume(app, program);
  for (auto* command : app.get_subcommands({})) command->footer("Also --json and --plugin FILE: see unireplk --help.");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error);
  }
  return run_guarded(program.run);
}

}  // namespace unireplk::runner
