#include "unireplk/models/network.h"

#include <fmt/ranges.h>

#include "unireplk/core/error.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::models {
namespace {

UniRepLKNetOptions options_of(const PerStage& depths, const PerStage& dims, const BackboneConfig& config,
                              const MapInfo& map) {
  const int64_t channels = map.channels > 0 ? map.channels : config.in_channels.value_or(3);
  if (config.in_channels && *config.in_channels != channels) {
    throw UserError({"model.backbone.in_channels",
                     format("expected {}, as the data has, got {}", channels, *config.in_channels),
                     "Leave it out, or change the pipeline."});
  }
  return resolved({.depths = depths,
                   .dims = dims,
                   .kernel_sizes = config.kernel_sizes,
                   .branches = config.branches,
                   .in_channels = channels,
                   .drop_path = config.drop_path,
                   .layer_scale_init = config.layer_scale_init,
                   .checkpointing = config.checkpointing,
                   .keep_branches = config.keep_branches});
}

HeadOptions head_of(const ClassifierConfig& config, const TargetInfo& target) {
  const int64_t classes = config.num_classes.value_or(target.classes);
  if (classes == 0) {
    throw UserError(
        {"model.head.num_classes", "the data names no classes", "Give num_classes, or take data with labels."});
  }
  if (classes < target.classes) {
    throw UserError({"model.head.num_classes",
                     format("expected at least {}, the classes of the data, got {}", target.classes, classes), ""});
  }
  return ClassifierHead{.num_classes = classes, .init_scale = config.init_scale};
}

MapInfo map_of(const DataInfo& info) {
  const auto* image = info.find("image");
  const bool is_map = image && image->dtype != at::kByte;
  const bool has_shape = image && image->shape.size() == 3;
  const int64_t channels = !has_shape ? 0 : is_map ? image->shape.front() : image->shape.back();
  if (channels < 1) {
    throw UserError({"data",
                     image ? format("field image is {}, expected {} with known C",
                                    ops::shape_text(at::IntArrayRef(image->shape)), is_map ? "[C, H, W]" : "[H, W, C]")
                           : "there is no field image",
                     "A classifier needs images, or maps."});
  }
  return {.channels = channels};
}

/// The shape [rows, columns] of a field of windows.
std::vector<int64_t> rows_of(const DataInfo& info, const char* name) {
  const auto* field = info.find(name);
  if (field && field->shape.size() == 2) return field->shape;
  throw UserError({"data", format("there is no field {} [rows, columns]", name),
                   "A forecaster needs windows of rows over time, from a source like csv_windows."});
}

/// What `make` makes, with the place of its mistakes below the head's node.
template <class Make>
auto head_checked(Make make) {
  try {
    return make();
  } catch (const UserError& error) {
    const auto& problem = error.problems().front();
    throw UserError({"model.head." + problem.place, problem.message, problem.cure});
  }
}

NetworkOptions options_around(UniRepLKNetOptions backbone, const ForecasterConfig& config, const DataInfo& info) {
  const auto window = rows_of(info, "window");
  backbone.mode = Mode::kTrunk;
  backbone.stages = config.stage;
  return head_checked([&] {
    return resolved(SeriesForecasterOptions{.backbone = std::move(backbone),
                                            .channels = window[1],
                                            .length = window[0],
                                            .horizon = rows_of(info, "future")[0],
                                            .marks = rows_of(info, "marks")[1],
                                            .group = config.group,
                                            .width = config.width,
                                            .rows = config.rows,
                                            .dropout = config.dropout,
                                            .window_norm = config.window_norm,
                                            .affine = config.affine,
                                            .least_std = config.least_std,
                                            .head_init = config.init_scale,
                                            .shuffled = config.shuffled,
                                            .seen = config.seen});
  });
}

NetworkOptions options_around(UniRepLKNetOptions backbone, const CorrformerConfig& config, const DataInfo& info) {
  const auto window = rows_of(info, "window");
  if (!info.constants.contains("places")) {
    throw UserError({"model.head", "corrformer needs data that tell where stations lie",
                     "Take a source like global_weather, or name: forecaster."});
  }
  return head_checked([&] {
    return resolved(GlobalForecasterOptions{.backbone = std::move(backbone),
                                            .channels = window[1],
                                            .length = window[0],
                                            .label = config.label,
                                            .horizon = rows_of(info, "future")[0],
                                            .marks = rows_of(info, "marks")[1],
                                            .tree = config.tree,
                                            .width = config.width,
                                            .heads = config.heads,
                                            .hidden = config.hidden,
                                            .rows = config.rows,
                                            .dropout = config.dropout,
                                            .token_order = config.token_order,
                                            .memory = config.memory});
  });
}

TargetInfo target_of(const DataInfo& info) { return {.classes = static_cast<int64_t>(info.classes.size())}; }

}  // namespace

config::Registry<BackboneSignature> backbones() {
  config::Registry<BackboneSignature> registry("backbone");
  for (const auto& variant : variants()) {
    registry.add<BackboneConfig>(
        variant.name,
        format("published variant: depths {}, dims {}", fmt::join(variant.depths, "-"), fmt::join(variant.dims, "-")),
        [variant](const BackboneConfig& config, const MapInfo& map) {
          return options_of(variant.depths, variant.dims, config, map);
        });
  }
  registry.add<CustomBackboneConfig>("unireplknet", "UniRepLKNet with depths, dims and kernel sizes of your own",
                                     [](const CustomBackboneConfig& config, const MapInfo& map) {
                                       return options_of(config.depths, config.dims, config, map);
                                     });
  return registry;
}

config::Registry<HeadSignature> heads() {
  config::Registry<HeadSignature> registry("head");
  registry.add<ClassifierConfig>("classifier", "mean over the map, layer norm, linear", head_of);
  registry.add<ForecasterConfig>("forecaster", "rows over time as maps of one channel, forecast by a linear layer",
                                 [](const ForecasterConfig& config, const TargetInfo&) { return config; });
  registry.add<CorrformerConfig>("corrformer", "the encoder of Corrformer's decoder, for stations in a tree",
                                 [](const CorrformerConfig& config, const TargetInfo&) { return config; });
  return registry;
}

void NetworkConfig::validate(config::Problems& problems) const {
  try {
    backbone.make(MapInfo{});
  } catch (const UserError& error) {
    for (const auto& problem : error.problems()) {
      problems.add("backbone", format("{}: {}", problem.place, problem.message), problem.cure);
    }
  }
}

NetworkOptions network_options(const NetworkConfig& config, const DataInfo& info) {
  const auto head = config.head.make(target_of(info));
  const auto trunk = [&] { return config.backbone.make({.channels = 1}); };
  if (const auto* forecaster = std::get_if<ForecasterConfig>(&head)) return options_around(trunk(), *forecaster, info);
  if (const auto* corrformer = std::get_if<CorrformerConfig>(&head)) return options_around(trunk(), *corrformer, info);
  auto options = config.backbone.make(map_of(info));
  options.num_classes = std::get<ClassifierHead>(head).num_classes;
  return options;
}

AnyNetwork make_network(const NetworkConfig& config, const DataInfo& info, at::Generator generator) {
  AnyNetwork network(network_options(config, info));
  if (auto* forecaster = network.forecaster()) {
    forecaster->initialise(std::move(generator));
    if (auto* global = dynamic_cast<GlobalForecasterImpl*>(forecaster)) {
      const at::NoGradGuard no_graph;
      global->set_places(info.constants.at("places"));
    }
  } else {
    const auto head = std::get<ClassifierHead>(config.head.make(target_of(info)));
    initialise(*network.classifier(), std::move(generator), head.init_scale);
  }
  return network;
}

}  // namespace unireplk::models
