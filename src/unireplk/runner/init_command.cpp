#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "unireplk/core/log.h"
#include "unireplk/core/utf8.h"
#include "unireplk/data/image/decode.h"
#include "unireplk/data/image/image_folder.h"
#include "unireplk/data/subset.h"
#include "unireplk/io/files.h"
#include "unireplk/models/describe.h"
#include "unireplk/runner/experiment.h"
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

/// What was found in the folder: sets of its own for training and validation, or one to be split.
struct FoundData {
  fs::path train;
  fs::path validation;  ///< empty: to be split off
  int64_t count = 0;    ///< images to train with
  size_t classes = 0;
  int64_t shorter_side = 0;  ///< median, pixels
};

/// The network that a config starts from.
struct FoundNetwork {
  std::string name = "unireplknet_a";
  int64_t channels = 3;
};

constexpr double kHoldOut = 0.2;

fs::path first_folder(const fs::path& parent, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (fs::is_directory(parent / name)) return parent / name;
  }
  return {};
}

Result<data::image::Image> photo(const data::Source& images, int64_t index) {
  const auto record = images.read(index);
  if (!record) return record.problem();
  return data::image::decode(std::get<data::EncodedBytes>((*record).payload).bytes, 3, images.where(index).file);
}

/// Median of the shorter sides of some images, evenly chosen; those that cannot be decoded are told.
/// \throws UserError when none can.
int64_t median_shorter_side(const data::Source& images) {
  constexpr int64_t kLookedAt = 31;
  std::vector<int64_t> sides;
  const int64_t count = std::min(kLookedAt, images.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto image = photo(images, i * images.size() / count);
    if (image) {
      sides.push_back(std::min((*image).width, (*image).height));
    } else {
      log_warning("{}", image.problem().text());
    }
  }
  if (sides.empty()) {
    throw UserError({images.where(0).file, format("expected photos, got {} files that are none", count), ""});
  }
  const auto middle = sides.begin() + std::ssize(sides) / 2;
  std::ranges::nth_element(sides, middle);
  return *middle;
}

/// Photos on one side of the split. \throws UserError when a class has too few for it.
int64_t count_of(const std::shared_ptr<const data::Source>& images, data::Part part) {
  return data::subset_of(images, {.source = {}, .hold_out = kHoldOut, .part = part})->size();
}

FoundData look_into(const fs::path& folder) {
  if (!is_utf8(folder.string())) throw UserError({folder.string(), "expected a path in UTF-8", "Rename the folder."});
  FoundData found;
  found.validation = first_folder(folder, {"validation", "val", "valid", "test"});
  const fs::path train = first_folder(folder, {"train", "training"});
  if (train.empty()) found.validation.clear();
  found.train = train.empty() ? folder : train;
  const std::shared_ptr<const data::Source> images = data::image::make_image_folder({.root = found.train});
  if (found.validation.empty()) {
    count_of(images, data::Part::kHeldOut);
    found.count = count_of(images, data::Part::kRest);
  } else {
    check_same_classes(images->info(), data::image::make_image_folder({.root = found.validation})->info(),
                       key_of(Split::kValidation));
    found.count = images->size();
  }
  found.classes = images->info().classes.size();
  found.shorter_side = median_shorter_side(*images);
  return found;
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

/// 224 for photos, less for small images: a multiple of 32, by which the network divides; up to 32 pixels the usual
/// evaluation would not resize.
int64_t input_size(int64_t shorter_side) { return std::clamp<int64_t>(shorter_side / 32 * 32, 64, 224); }

/// A text as YAML has it on one line.
std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

std::string set_lines(const FoundData& data) {
  const auto folder = [](const fs::path& root) {
    return format("{{name: image_folder, root: {}}}", quoted(root.string()));
  };
  if (!data.validation.empty()) {
    return format("  train: {}\n  validation: {}\n", folder(data.train), folder(data.validation));
  }
  const auto part = [&](const char* name) {
    return format("{{name: subset, source: {}, hold_out: {}, part: {}}}", folder(data.train), kHoldOut, name);
  };
  return format("  train: {}\n  validation: {}\n", part("rest"), part("held_out"));
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

std::string config_text(const std::string& name, const FoundData& data, const FoundNetwork& network,
                        const fs::path& weights) {
  const bool tunes = !weights.empty();
  const int64_t batch = batch_size(data.count);
  const int64_t length = epochs(data.count, batch);
  const unsigned workers = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
  std::string text = format("# {} images of {} classes to train with.\n", data.count, data.classes);
  text += format("name: {}\nmodel:\n  backbone: {{name: {}, drop_path: 0.1}}\n", quoted(name), network.name);
  if (tunes) {
    text += format("  head: {{name: classifier, init_scale: 0.001}}\ninit:\n  weights: {}\n  skip: [head]\n",
                   quoted(weights.string()));
  }
  text += "data:\n" + set_lines(data);
  text +=
      format("  pipeline: {{name: image, size: {}, channels: {}}}\n", input_size(data.shorter_side), network.channels);
  text += format("  loader: {{batch_size: {}, workers: {}}}\n", batch, workers);
  text += "task: {name: classification, label_smoothing: 0.1}\ntrain:\n";
  text += format("  epochs: {}\n", length);
  text += tunes ? "  optimizer: {name: adamw, lr: 1.0e-3, weight_decay: 0.05, layer_decay: 0.8}\n"
                : "  optimizer: {name: adamw, lr: 2.0e-3, weight_decay: 0.05}\n";
  text += format("  schedule: {{name: cosine, warmup_epochs: {}}}\n", std::min<int64_t>(2, length - 1));
  text += "  ema: {decay: 0.99}\n  clip_grad_norm: 5.0\n  checkpoint: {every_minutes: 10, keep: 3}\n";
  return text;
}

/// The last part of a folder's path, however it was written.
std::string name_of(const fs::path& folder) {
  return fs::absolute(folder / ".").lexically_normal().parent_path().filename().string();
}

ExitCode init(const InitOptions& options, const Program& program) {
  const auto registries = program.registries();
  const auto name = name_of(options.data);
  const fs::path output = options.output.empty() ? fs::path(name + ".yaml") : options.output;
  if (fs::exists(output)) {
    throw UserError({output.string(), "the file exists", "Pass another name with --output."});
  }
  const auto data = look_into(options.data);
  const auto network = network_of(options, registries);
  const auto text = config_text(name, data, network, options.weights);
  config::parse<ExperimentConfig>(config::load_text(text, output.string()), registries);  // before it is written
  io::write_file_atomically(output, text);
  if (program.json) {
    print_json({{"config", output.string()}, {"images", data.count}, {"classes", data.classes}});
    return ExitCode::kGood;
  }
  std::cout << format("found: {} images of {} classes to train with, {}\n", data.count, data.classes,
                      data.validation.empty() ? format("{:.0f}% held out for validation", 100 * kHoldOut)
                                              : "validation in " + data.validation.string())
            << format("written: {}\nnext: unireplk train {}\n", output.string(), output.string());
  return ExitCode::kGood;
}

}  // namespace

void add_init(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("init", "Write a config that trains on a folder of images.");
  auto options = std::make_shared<InitOptions>();
  command
      ->add_option("--data", options->data,
                   "A folder of images for each class, or folders train and validation that hold them.")
      ->required();
  command->add_option("--output", options->output, "Config to write; left out, named after the folder.");
  command->add_option("--weights", options->weights, "Fine-tune these: run folder, .safetensors or .pth file.");
  command
      ->add_option("--model", options->model, "A published variant; left out, unireplknet_a or what the weights are.")
      ->check(CLI::IsMember(models::backbones().names()));
  command->callback(
      [options, &program] { program.run = [options, &program] { return init(*options, program); }; });
}

}  // namespace unireplk::runner
