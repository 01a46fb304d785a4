#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "unireplk/core/utf8.h"
#include "unireplk/io/files.h"
#include "unireplk/models/describe.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/runner/looks.h"
#include "unireplk/runner/program.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

struct InitOptions {
  fs::path data;
  fs::path output;
  fs::path weights;
  std::string model;
};

/// The network that a config starts from.
struct FoundNetwork {
  std::string name = "unireplknet_a";
  std::optional<int64_t> channels = {};  ///< of the weights
};

/// What a look at the data drafts. \throws UserError when no modality knows them, or it cannot be trained on them.
Draft draft_of(const fs::path& data, const Wishes& wishes) {
  if (!is_utf8(data.string())) throw UserError({data.string(), "expected a path in UTF-8", "Rename it."});
  std::vector<std::string> known;
  for (const auto& look : looks()) {
    if (look.knows(data)) return look.draft(data, wishes);
    known.push_back(look.files);
  }
  const bool is_there = fs::exists(data);
  throw UserError({data.string(),
                   format("expected {}; got {}", fmt::join(known, ", or "), is_there ? "none" : "nothing at all"),
                   is_there ? "See unireplk init --help." : "Check the path."});
}

FoundNetwork network_of(const InitOptions& options, const config::Registries& registries) {
  if (options.weights.empty()) return {.name = options.model.empty() ? "unireplknet_a" : options.model};
  const auto [place, tensors] = read_initial_weights({.weights = options.weights}, registries);
  const auto network = models::infer_options(tensors, place);
  if (network.deploy) {
    throw UserError({place, "the weights are in deploy form, which cannot be trained further",
                     "Take those of the run they came from."});
  }
  FoundNetwork found{.name = models::variant_name(network), .channels = network.in_channels};
  if (found.name == "unireplknet") {
    throw UserError({place, "the network is none of the published variants", "Write its config by hand."});
  }
  if (!options.model.empty() && options.model != found.name) {
    throw UserError(
        {"--model", format("expected {}, as the weights are, got {}", found.name, options.model), "Leave it out."});
  }
  return found;
}

/// Batches that let an epoch of few images have some steps.
int64_t batch_size(int64_t images) {
  int64_t size = 64;
  while (size > 1 && size * 4 > images) size /= 2;
  return size;
}

/// Epochs that come to some thousand steps, within reason.
int64_t epochs(int64_t images, int64_t batch) {
  constexpr int64_t kSteps = 3000;
  return std::clamp<int64_t>(kSteps * batch / std::max<int64_t>(images, 1), 5, 60);
}

std::string config_text(const std::string& name, const Draft& draft, const FoundNetwork& network,
                        const fs::path& weights) {
  const bool tunes = !weights.empty();
  const int64_t batch = batch_size(draft.items);
  const int64_t length = epochs(draft.items, batch);
  const unsigned workers = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
  std::string text = format("# {}.\n", draft.found);
  text += format("name: {}\nmodel:\n  backbone: {{name: {}, drop_path: 0.1}}\n", quoted(name), network.name);
  text += format("  head: {{name: {}{}}}\n", draft.head, tunes ? ", init_scale: 0.001" : "");
  if (tunes) text += format("init:\n  weights: {}\n  skip: [head]\n{}", quoted(weights.string()), draft.init);
  text += "data:\n" + draft.data;
  text += format("  loader: {{batch_size: {}, workers: {}}}\n", batch, workers);
  text += format("task: {}\ntrain:\n", draft.task);
  text += format("  epochs: {}\n", length);
  text += tunes ? "  optimizer: {name: adamw, lr: 1.0e-3, weight_decay: 0.05, layer_decay: 0.8}\n"
                : "  optimizer: {name: adamw, lr: 2.0e-3, weight_decay: 0.05}\n";
  text += format("  schedule: {{name: cosine, warmup_epochs: {}}}\n", std::min<int64_t>(2, length - 1));
  text += "  ema: {decay: 0.99}\n  clip_grad_norm: 5.0\n  checkpoint: {every_minutes: 10, keep: 3}\n";
  return text;
}

/// The last part of the path of a folder, however it was written, or of a file without its suffix.
std::string name_of(const fs::path& data) {
  const auto last = fs::absolute(data / ".").lexically_normal().parent_path().filename();
  return (fs::is_directory(data) ? last : last.stem()).string();
}

ExitCode init(const InitOptions& options, const Program& program) {
  const auto registries = program.registries();
  const auto name = name_of(options.data);
  const fs::path output = options.output.empty() ? fs::path(name + ".yaml") : options.output;
  if (fs::exists(output)) {
    throw UserError({output.string(), "the file exists", "Pass another name with --output."});
  }
  const auto network = network_of(options, registries);
  const auto draft = draft_of(options.data, {.channels = network.channels});
  const auto text = config_text(name, draft, network, options.weights);
  config::parse<ExperimentConfig>(config::load_text(text, output.string()), registries);  // before it is written
  io::write_file_atomically(output, text);
  if (program.json) {
    nlohmann::ordered_json line{{"config", output.string()}};
    for (const auto& [what, count] : draft.counts) line[what] = count;
    print_json(line);
    return ExitCode::kGood;
  }
  std::cout << format("found: {}, {}\n", draft.found, draft.validation)
            << format("written: {}\nnext: unireplk train {}\n", output.string(), output.string());
  return ExitCode::kGood;
}

}  // namespace

void add_init(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("init", "Look at data and write a config that trains on them.");
  auto options = std::make_shared<InitOptions>();
  command
      ->add_option(
          "--data", options->data,
          "A folder of images or sounds for each class, or folders train and validation that hold them; or a CSV table "
          "whose first column is `date`.")
      ->required();
  command->add_option("--output", options->output, "Config to write; left out, named after the folder.");
  command->add_option("--weights", options->weights, "Fine-tune these: run folder, .safetensors or .pth file.");
  command
      ->add_option("--model", options->model, "A published variant; left out, unireplknet_a or what the weights are.")
      ->check(CLI::IsMember(models::backbones().names()));
  command->callback([options, &program] { program.run = [options, &program] { return init(*options, program); }; });
}

}  // namespace unireplk::runner
