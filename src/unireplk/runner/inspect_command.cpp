#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/core/cpu_features.h"
#include "unireplk/io/weight_file.h"
#include "unireplk/kernels/instruction_set.h"
#include "unireplk/models/describe.h"
#include "unireplk/ops/product_table.h"
#include "unireplk/runner/program.h"
#include "unireplk/runner/sample_pictures.h"
#include "unireplk/runner/weights.h"
#include "unireplk/tasks/forecasting.h"

namespace unireplk::runner {
namespace {

struct InspectOptions {
  Target target;
  int64_t size = 0;
  int64_t batch = 1;
  bool deploy = false;
  std::filesystem::path sample;
  int64_t count = 16;
};

struct Subject {
  models::UniRepLKNetOptions network;
  int64_t height = 224, width = 224;
};

Subject from_weights(const Target& target) {
  if (!target.overrides.empty()) {
    throw UserError({target.overrides.front(), "expected nothing beside a weight file, which has no config",
                     "Leave it out, or pass the config or the run."});
  }
  return {.network = models::infer_options(io::read_weights(target.path).content.tensors, target.path)};
}

ExperimentConfig config_of(const Target& target, const Program& program) {
  auto registries = program.registries();
  return is_run(target.path) ? load_experiment_of_run(run_of(target.path), target.overrides, registries)
                             : load_experiment(target.path, target.overrides, registries);
}

/// The network that a config makes of its data.
Subject from_config(const Target& target, const Program& program) {
  const auto config = config_of(target, program);
  const auto info = training_data(config.data).info;
  const auto options = models::network_options(config.model, info);
  Subject subject{.network = models::backbone_options(options)};
  const auto of_map = [&](const auto& forecaster) {
    subject.height = forecaster.map_height();
    subject.width = forecaster.map_width();
  };
  if (const auto* series = std::get_if<models::SeriesForecasterOptions>(&options)) of_map(*series);
  if (const auto* global = std::get_if<models::GlobalForecasterOptions>(&options)) of_map(*global);
  const auto* image = info.find("image");
  const size_t rows = image && image->dtype != at::kByte ? 1 : 0;  // [C, H, W], or bytes [H, W, C]
  if (image && image->shape[rows] > 0) {
    subject.height = image->shape[rows];
    subject.width = image->shape[rows + 1];
  }
  return subject;
}

nlohmann::ordered_json to_json(const std::vector<models::LayerRow>& rows) {
  auto layers = nlohmann::ordered_json::array();
  for (const auto& row : rows) {
    layers.push_back({{"name", row.name},
                      {"kind", row.kind},
                      {"shape", {row.channels, row.height, row.width}},
                      {"parameters", row.parameters},
                      {"macs", row.macs},
                      {"receptive_field", row.receptive_field}});
  }
  return layers;
}

void print_table(const std::vector<models::LayerRow>& rows) {
  std::cout << format("{:<22}{:<24}{:>14}{:>13}{:>12}{:>8}\n", "layer", "kind", "output", "parameters", "MMAC", "sees");
  for (const auto& row : rows) {
    std::cout << format("{:<22}{:<24}{:>14}{:>13}{:>12.2f}{:>8}\n", row.name, row.kind,
                        format("{}x{}x{}", row.channels, row.height, row.width), row.parameters,
                        static_cast<double>(row.macs) / 1e6, row.receptive_field);
  }
}

/// Libraries that compute the products of one linear layer; deploy form has the first alone.
struct ProductsOfLayer {
  models::LinearLayer layer;
  int64_t rows = 0;
  std::vector<std::pair<std::string, std::string>> libraries;  ///< pass and library
};

/// Of float32 on the CPU, which ops::linear and ops::PackedLinear tell apart by form.
std::vector<ProductsOfLayer> products_of(const Subject& subject, int64_t batch) {
  std::vector<ProductsOfLayer> products;
  const auto table = ops::product_table();
  for (auto& layer : models::linear_layers(subject.network, subject.height, subject.width)) {
    ProductsOfLayer of_layer{.layer = layer, .rows = batch * layer.pixels, .libraries = {}};
    const ops::ProductShape shape{.rows = of_layer.rows, .in = layer.in, .out = layer.out};
    for (const auto pass : ops::kProductPasses) {
      if (subject.network.deploy) {
        of_layer.libraries = {{to_text(pass), "oneDNN, packed"}};
        break;
      }
      of_layer.libraries.emplace_back(to_text(pass), to_text(library_for(table, shape, pass)));
    }
    products.push_back(std::move(of_layer));
  }
  return products;
}

nlohmann::ordered_json to_json(const std::vector<ProductsOfLayer>& products) {
  auto json = nlohmann::ordered_json::array();
  for (const auto& [layer, rows, libraries] : products) {
    auto& entry = json.emplace_back(
        nlohmann::ordered_json{{"name", layer.name}, {"in", layer.in}, {"out", layer.out}, {"rows", rows}});
    for (const auto& [pass, library] : libraries) entry[pass] = library;
  }
  return json;
}

/// One line for all layers that are alike.
void print_products(const std::vector<ProductsOfLayer>& products) {
  const auto text = [](const ProductsOfLayer& of_layer) {
    std::string line = format("  {:>5} to {:>5}, {:>6} rows:", of_layer.layer.in, of_layer.layer.out, of_layer.rows);
    for (const auto& [pass, library] : of_layer.libraries) line += format(" {} {},", pass, library);
    return line.substr(0, line.size() - 1);
  };
  std::vector<std::string> lines;
  for (const auto& of_layer : products) {
    auto line = text(of_layer);
    if (std::ranges::find(lines, line) == lines.end()) lines.push_back(std::move(line));
  }
  for (const auto& line : lines) std::cout << line << '\n';
}

ExitCode inspect(const InspectOptions& options, const Program& program) {
  if (std::filesystem::is_directory(options.target.path)) require_existing(options.target.path);
  auto subject =
      io::is_weight_name(options.target.path) ? from_weights(options.target) : from_config(options.target, program);
  if (options.size > 0) subject.height = subject.width = options.size;
  if (options.deploy) subject.network.deploy = true;
  const auto rows = models::layer_table(subject.network, subject.height, subject.width);
  const auto counts = models::count(subject.network, subject.height, subject.width);
  const auto products = products_of(subject, options.batch);
  const auto name = models::variant_name(subject.network);
  const char* form = subject.network.deploy ? "deploy" : "train";
  if (program.json) {
    print_json({{"network", name},
                {"form", form},
                {"input", {subject.network.in_channels, subject.height, subject.width}},
                {"parameters", counts.parameters},
                {"macs", counts.macs},
                {"processor", to_text(cpu_vendor())},
                {"instruction_set", kernels::instruction_set()},
                {"batch", options.batch},
                {"products", to_json(products)},
                {"layers", to_json(rows)}});
    return ExitCode::kGood;
  }
  print_table(rows);
  std::cout << format("{}, {} form, input {}x{}x{}: {} parameters, {:.1f} million multiply-accumulates\n", name, form,
                      subject.network.in_channels, subject.height, subject.width, counts.parameters,
                      static_cast<double>(counts.macs) / 1e6);
  std::cout << format("on this processor ({}) kernels use {}; products of linear layers in float32, batch {}:\n",
                      to_text(cpu_vendor()), kernels::instruction_set(), options.batch);
  print_products(products);
  return ExitCode::kGood;
}

/// Of a run that forecasts, the best weights, for what windows look like is learned; else a new network.
NetworkOf network_to_show(const Target& target, const ExperimentConfig& config, const Program& program) {
  if (!is_run(target.path) || !config.task.config_if<tasks::ForecastingConfig>()) {
    return [config](const DataInfo& info, const Context& context) { return new_network(config, info, context); };
  }
  const auto run = open_run(target.path, {}, target.overrides, program.registries());
  return [run](const DataInfo& info, const Context& context) { return load_network(run, info, context); };
}

ExitCode show_samples(const InspectOptions& options, const Program& program) {
  if (io::is_weight_name(options.target.path)) {
    throw UserError({"--sample", "expected a config or a run, got a weight file, which has no data", ""});
  }
  const auto config = config_of(options.target, program);
  const auto written =
      write_samples(config, network_to_show(options.target, config, program), options.sample, options.count);
  if (program.json) {
    auto images = nlohmann::ordered_json::array();
    for (const auto& image : written.images) images.push_back(image.string());
    print_json({{"samples", written.count}, {"images", images}, {"text", written.text.string()}});
    return ExitCode::kGood;
  }
  for (const auto& image : written.images) std::cout << format("written: {}\n", image.string());
  std::cout << format("{} samples of the training, row by row; what each is: {}\n", written.count,
                      written.text.string());
  return ExitCode::kGood;
}

}  // namespace

void add_inspect(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("inspect", "Layers, parameters, multiply-accumulates and receptive field.");
  auto options = std::make_shared<InspectOptions>();
  add_target(*command, options->target, "CONFIG", "Config file, run folder, or weight file (.safetensors, .pth, ...).");
  auto* size = command->add_option("--size", options->size, "Side of the input; that of the config, or 224.")
                   ->check(CLI::Range(1, kMostPixels));
  auto* batch =
      command
          ->add_option("--batch", options->batch, "Samples at once, for which the products of linear layers are shown.")
          ->check(CLI::Range(1, kMostCounted))
          ->capture_default_str();
  auto* deploy = command->add_flag("--deploy", options->deploy, "The deploy form of the network.");
  auto* sample = command
                     ->add_option("--sample", options->sample,
                                  "Folder to write pictures to of what the network sees in training, instead.")
                     ->excludes(size)
                     ->excludes(batch)
                     ->excludes(deploy);
  command->add_option("--count", options->count, "Samples in the pictures.")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str()
      ->needs(sample);
  command->callback([options, &program] {
    program.run = [options, &program] {
      return options->sample.empty() ? inspect(*options, program) : show_samples(*options, program);
    };
  });
}

}  // namespace unireplk::runner
