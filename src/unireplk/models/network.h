#pragma once

#include <optional>
#include <string>

#include "unireplk/config/registry.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/tensor/sample.h"

/// Networks as a config file describes them: `model: {backbone: {name: ...}, head: {name: ...}}`.
namespace unireplk::models {

/// What a backbone's config must know of the map it will see.
struct MapInfo {
  int64_t channels = 0;  ///< 0: not known yet
};

/// What a head's config must know of the data.
struct TargetInfo {
  int64_t classes = 0;  ///< 0: labels are not classes
};

/// `head: {name: classifier, ...}`.
struct ClassifierConfig {
  std::optional<int64_t> num_classes;
  double init_scale = 1.0;

  static void fields(auto& self, auto&& visit) {
    visit("num_classes", self.num_classes, config::at_least(1),
          "Outputs; as many as the data has classes when left out.");
    visit("init_scale", self.init_scale, config::non_negative,
          "Factor of the head's first weights; 0.001 is usual in fine-tuning.");
  }
};

/// A classifier head in plain numbers.
struct ClassifierHead {
  int64_t num_classes = 1000;
  double init_scale = 1.0;
};

using BackboneSignature = UniRepLKNetOptions(const MapInfo&);
using HeadSignature = ClassifierHead(const TargetInfo&);

/// `model:` of a config file.
struct NetworkConfig {
  config::Choice<BackboneSignature> backbone;
  config::Choice<HeadSignature> head{"classifier"};

  static void fields(auto& self, auto&& visit) {
    visit("backbone", self.backbone, config::required, "The network up to its last map.");
    visit("head", self.head, "From the last map to the output.");
  }
  void validate(config::Problems& problems) const;
};

/// The published variants and `unireplknet` with depths and dims of its own.
config::Registry<BackboneSignature> backbones();
config::Registry<HeadSignature> heads();

/// Options of a classifier for this data: channels of the field `image` (bytes [H, W, C] or a floating map [C, H, W]),
/// one output a class.
/// \throws UserError when channels or classes of config and data contradict each other, or options do not fit
/// together.
UniRepLKNetOptions classifier_options(const NetworkConfig& config, const DataInfo& info);

/// A classifier for this data with weights drawn from `generator`, on the CPU in float32.
UniRepLKNet make_classifier(const NetworkConfig& config, const DataInfo& info, at::Generator generator);

}  // namespace unireplk::models
