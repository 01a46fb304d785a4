#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/config/dump.h"
#include "unireplk/config/schema.h"
#include "unireplk/config/show.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/runner/program.h"

namespace unireplk::runner {
namespace {

ExitCode show(const Target& target, const Program& program) {
  auto registries = program.registries();
  const auto tree = config::load(target.path, target.overrides);
  registries.load_named(tree);
  const auto experiment = config::parse<ExperimentConfig>(tree, registries);
  std::cout << (program.json ? config::to_json(experiment) + '\n' : config::show(experiment, tree));
  return ExitCode::kGood;
}

ExitCode check(const Target& target, const Program& program) {
  auto registries = program.registries();
  const auto experiment = load_experiment(target.path, target.overrides, registries);
  if (program.json) {
    print_json({{"valid", true}, {"name", experiment.name}});
  } else {
    std::cout << target.path << ": good; run folder " << experiment.run_folder().string() << '\n';
  }
  return ExitCode::kGood;
}

ExitCode print_schema(const Program& program) {
  std::cout << config::schema<ExperimentConfig>(program.registries()) << '\n';
  return ExitCode::kGood;
}

}  // namespace

void add_config(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("config", "Look at config files: show, check, schema.");
  command->require_subcommand(1);

  auto shown = std::make_shared<Target>();
  auto* show_command = command->add_subcommand("show", "The resolved config with the origin of each value.");
  add_target(*show_command, *shown, "CONFIG", "YAML file.");
  show_command->callback([shown, &program] { program.run = [shown, &program] { return show(*shown, program); }; });

  auto checked = std::make_shared<Target>();
  auto* check_command = command->add_subcommand("check", "Report every mistake in a config, or that there is none.");
  add_target(*check_command, *checked, "CONFIG", "YAML file.");
  check_command->callback(
      [checked, &program] { program.run = [checked, &program] { return check(*checked, program); }; });

  auto* schema_command = command->add_subcommand("schema", "JSON Schema of config files, for editors.");
  schema_command->callback([&program] { program.run = [&program] { return print_schema(program); }; });
}

}  // namespace unireplk::runner
