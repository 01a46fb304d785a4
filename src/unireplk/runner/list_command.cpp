#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/data/image/transform.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/runner/program.h"

namespace unireplk::runner {
namespace {

using Kind = std::pair<const char*, const std::type_info*>;

/// What may be listed, by the word people type.
std::vector<Kind> kinds() {
  return {{"models", &typeid(models::BackboneSignature)},
          {"heads", &typeid(models::HeadSignature)},
          {"data", &typeid(data::SourceSignature)},
          {"pipelines", &typeid(data::PipelineSignature)},
          {"transforms", &typeid(data::image::TransformSignature)},
          {"tasks", &typeid(tasks::TaskSignature)},
          {"optimizers", &typeid(train::MakeOptimizer)},
          {"schedules", &typeid(train::MakeSchedule)}};
}

ExitCode list(const std::string& word, const Program& program) {
  const auto registries = program.registries();
  auto all = nlohmann::ordered_json::object();
  for (const auto& [kind, signature] : kinds()) {
    if (!word.empty() && word != kind) continue;
    for (const auto& entry : registries.get(*signature).entries()) all[kind][entry->name] = entry->help;
  }
  if (program.json) {
    print_json(all);
    return ExitCode::kGood;
  }
  for (const auto& [kind, entries] : all.items()) {
    std::cout << kind << '\n';
    for (const auto& [name, help] : entries.items())
      std::cout << format("  {:<24}{}\n", name, help.template get<std::string>());
  }
  return ExitCode::kGood;
}

}  // namespace

void add_list(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("list", "What `name:` may say in a config file.");
  auto word = std::make_shared<std::string>();
  std::vector<std::string> words;
  for (const auto& [kind, signature] : kinds()) words.emplace_back(kind);
  command->add_option("kind", *word, "One kind only.")->check(CLI::IsMember(words));
  command->callback([word, &program] { program.run = [word, &program] { return list(*word, program); }; });
}

}  // namespace unireplk::runner
