#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "unireplk/config/registry.h"
#include "unireplk/models/any_network.h"
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

/// `head: {name: forecaster, ...}`: rows over time become maps, the last map a forecast.
struct ForecasterConfig {
  int64_t width = 128;
  int64_t rows = 1;
  int64_t group = 1;
  double dropout = 0.1;
  WindowNormKind window_norm = WindowNormKind::kMeanStd;
  bool affine = true;
  double least_std = 0;
  double init_scale = 1;
  int64_t stage = kStages;
  bool shuffled = false;
  SeenByHead seen = SeenByHead::kMap;

  static void fields(auto& self, auto&& visit) {
    visit("width", self.width, config::between(1, 65536), "Numbers of the embedding of a row.");
    visit("rows", self.rows, config::between(1, 1024),
          "Rows of the map for each row of the window, width / rows wide.");
    visit("group", self.group, config::between(1, 65536), "Channels that share a map; 1: each has its own.");
    visit("dropout", self.dropout, config::below_one, "Of the embedding, and before the last linear layer.");
    visit("window_norm", self.window_norm,
          "Taken from each channel of a window and given back: off, mean, mean_std, last.");
    visit("affine", self.affine, "A factor and an offset for each channel behind that, learned.");
    visit("least_std", self.least_std, config::non_negative,
          "Lower bound of a window's deviation, in deviations of the training rows.");
    visit("init_scale", self.init_scale, config::non_negative, "Factor of the last layer's first weights.");
    visit("stage", self.stage, config::between(1, kStages),
          "Stage of the backbone whose map is the last; those behind it are not built.");
    visit("shuffled", self.shuffled, "Rows of the window in an order drawn once: a control without time in the map.");
    visit("seen", self.seen, "What the last layer sees: map, or window, a control without the backbone.");
  }
};

/// `head: {name: corrformer, ...}`: the backbone as the encoder of Corrformer's decoder, for stations in a tree.
struct CorrformerConfig {
  std::vector<int64_t> tree{7, 50};
  int64_t label = 24;
  int64_t width = 768;
  int64_t heads = 16;
  int64_t hidden = 2048;
  int64_t rows = 4;
  double dropout = 0.05;
  TokenOrder token_order = TokenOrder::kReinterpret;
  EncoderMemory memory = EncoderMemory::kMap;

  static void fields(auto& self, auto&& visit) {
    visit("tree", self.tree, config::at_least(1),
          "Nodes of each level within one of the level above; the last ones share the stations evenly.");
    visit("label", self.label, config::non_negative, "Last rows of the window that the decoder begins with.");
    visit("width", self.width, config::between(1, 65536), "Numbers of the embedding of a row.");
    visit("heads", self.heads, config::between(1, 1024), "Parts of the width that correlate by themselves.");
    visit("hidden", self.hidden, config::between(1, 65536), "Width within the decoder's feed-forward part.");
    visit("rows", self.rows, config::between(1, 1024),
          "Rows of the map for each row of the window, width / rows wide.");
    visit("dropout", self.dropout, config::below_one, "Of the embeddings and the decoder.");
    visit("token_order", self.token_order,
          "How the decoder reads the last map: reinterpret its memory, as published, or spatial, pixel by pixel.");
    visit("memory", self.memory, "What reaches the decoder: map, pooled (its mean), or zero, a control.");
  }
};

/// What a head's config makes of a network.
using HeadOptions = std::variant<ClassifierHead, ForecasterConfig, CorrformerConfig>;

using BackboneSignature = UniRepLKNetOptions(const MapInfo&);
using HeadSignature = HeadOptions(const TargetInfo&);

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

/// Options of the network for this data: a classifier of the field `image` (bytes [H, W, C] or a floating map
/// [C, H, W]) with one output a class, or a forecaster of the fields `window` [L, C] and `future` [H, C].
/// \throws UserError when config and data contradict each other, or options do not fit together.
NetworkOptions network_options(const NetworkConfig& config, const DataInfo& info);

/// A network for this data with weights drawn from `generator`, on the CPU in float32.
AnyNetwork make_network(const NetworkConfig& config, const DataInfo& info, at::Generator generator);

}  // namespace unireplk::models

template <>
struct unireplk::config::EnumNames<unireplk::models::WindowNormKind> {
  using E = unireplk::models::WindowNormKind;
  static constexpr std::pair<std::string_view, E> values[] = {
      {"off", E::kOff}, {"mean", E::kMean}, {"mean_std", E::kMeanStd}, {"last", E::kLast}};
};

template <>
struct unireplk::config::EnumNames<unireplk::models::SeenByHead> {
  using E = unireplk::models::SeenByHead;
  static constexpr std::pair<std::string_view, E> values[] = {{"map", E::kMap}, {"window", E::kWindow}};
};

template <>
struct unireplk::config::EnumNames<unireplk::models::TokenOrder> {
  using E = unireplk::models::TokenOrder;
  static constexpr std::pair<std::string_view, E> values[] = {{"reinterpret", E::kReinterpret},
                                                              {"spatial", E::kSpatial}};
};

template <>
struct unireplk::config::EnumNames<unireplk::models::EncoderMemory> {
  using E = unireplk::models::EncoderMemory;
  static constexpr std::pair<std::string_view, E> values[] = {
      {"map", E::kMap}, {"pooled", E::kPooled}, {"zero", E::kZero}};
};
