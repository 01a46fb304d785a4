#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "unireplk/data/image/pack.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/runner/program.h"

namespace unireplk::runner {
namespace {

struct PackCommandOptions {
  Target target;
  std::filesystem::path output;
  std::string set = "train";
  bool pixels = false;
  data::image::PackOptions pack{.workers = std::max(1u, std::thread::hardware_concurrency())};
};

ExitCode pack(const PackCommandOptions& options, const Program& program) {
  auto registries = program.registries();
  const auto config = load_experiment(options.target.path, options.target.overrides, registries);
  const auto& origin = options.set == "train" ? config.data.train : config.data.validation;
  if (origin.empty()) {
    throw UserError(
        {"data." + options.set, "expected a data set, got nothing", "Add it, or choose another with --set."});
  }
  if (std::filesystem::exists(options.output)) {
    throw UserError({options.output.string(), "the file exists", "Remove it or pass another name with --output."});
  }
  auto how = options.pack;
  if (options.pixels) how.quality = 0;
  const auto counts = data::image::write_pack(origin, how, options.output);
  if (program.json) {
    print_json({{"pack", options.output.string()},
                {"items", counts.items},
                {"resized", counts.resized},
                {"undecoded", counts.undecoded},
                {"bytes", counts.bytes}});
    return ExitCode::kGood;
  }
  std::cout << format("packed: {} photos, {} of them resized, {:.1f} MiB\n", counts.items, counts.resized,
                      static_cast<double>(counts.bytes) / (1024.0 * 1024.0));
  if (counts.undecoded > 0) std::cout << format("not decoded: {} photos, kept as they are\n", counts.undecoded);
  std::cout << format("written: {}\nnext: data.{}: {{name: pack, file: {}}}\n", options.output.string(), options.set,
                      options.output.string());
  return ExitCode::kGood;
}

}  // namespace

void add_pack(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("pack", "Write the photos of a data set, made smaller, into one file.");
  auto options = std::make_shared<PackCommandOptions>();
  add_target(*command, options->target, "CONFIG", "YAML file.");
  command->add_option("--output", options->output, "File to write.")->required();
  command->add_option("--set", options->set, "Which data set of the config.")
      ->check(CLI::IsMember({"train", "validation"}))
      ->capture_default_str();
  command
      ->add_option("--size", options->pack.shorter_side, "Pixels of the shorter side; smaller photos stay as they are.")
      ->check(CLI::Range(1, 16384))
      ->capture_default_str();
  command->add_option("--quality", options->pack.quality, "Of the JPEG files that resized photos become.")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_flag("--pixels", options->pixels, "Store pixels instead of files: quicker to read, much larger.");
  command->add_option("--workers", options->pack.workers, "Threads; they change no byte.")
      ->check(CLI::Range(1, kMostThreads))
      ->capture_default_str();
  command->callback([options, &program] { program.run = [options, &program] { return pack(*options, program); }; });
}

}  // namespace unireplk::runner
