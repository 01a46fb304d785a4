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

ClassifierHead head_of(const ClassifierConfig& config, const TargetInfo& target) {
  const int64_t classes = config.num_classes.value_or(target.classes);
  if (classes == 0) {
    throw UserError(
        {"model.head.num_classes", "the data names no classes", "Give num_classes, or take data with labels."});
  }
  if (classes < target.classes) {
    throw UserError({"model.head.num_classes",
                     format("expected at least {}, the classes of the data, got {}", target.classes, classes), ""});
  }
  return {.num_classes = classes, .init_scale = config.init_scale};
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

UniRepLKNetOptions classifier_options(const NetworkConfig& config, const DataInfo& info) {
  auto options = config.backbone.make(map_of(info));
  options.num_classes = config.head.make(target_of(info)).num_classes;
  return options;
}

UniRepLKNet make_classifier(const NetworkConfig& config, const DataInfo& info, at::Generator generator) {
  UniRepLKNet network(classifier_options(config, info));
  initialise(*network, std::move(generator), config.head.make(target_of(info)).init_scale);
  return network;
}

}  // namespace unireplk::models
