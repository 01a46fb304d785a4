#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unireplk/models/state_dict.h"
#include "unireplk/models/unireplknet.h"

namespace unireplk::models {

enum class Form { kTrain, kDeploy };

std::string_view to_text(Form form);  ///< "train", "deploy"

/// The form that weights are in; nothing when they are not those of a UniRepLKNet (spec: model, section 4.3).
std::optional<Form> form_of(const NamedTensors& tensors);

/// The options of the network that weights belong to, from names and shapes alone, prefixes and composed
/// networks' other parts left out of account. In train form the branches are those of the names, as rules
/// where they are not the default. \param place  named in messages. \throws UserError when they are not those
/// of a UniRepLKNet.
UniRepLKNetOptions infer_options(const NamedTensors& tensors, const std::string& place);

/// Name of the published variant with these depths and dims, or "unireplknet".
std::string variant_name(const UniRepLKNetOptions& options);

/// Trainable parameters of a module.
int64_t count_parameters(const torch::nn::Module& module);

/// One layer as `inspect` shows it.
struct LayerRow {
  std::string name;               ///< of the module in the state dict
  std::string kind;               ///< "conv 3x3 /2", "13x13 + 5 branches", "block 13x13"
  int64_t channels = 0;           ///< of the output
  int64_t height = 0, width = 0;  ///< of the output
  int64_t parameters = 0;         ///< trainable
  int64_t macs = 0;               ///< of one sample (spec: model, section 8)
  int64_t receptive_field = 0;    ///< pixels of the input along one side that convolutions up to here can see
};

/// Stem, downsample layers, blocks, norms and head for an input of height x width, computed without a
/// network.
std::vector<LayerRow> layer_table(const UniRepLKNetOptions& options, int64_t height, int64_t width);

/// A linear layer of a block.
struct LinearLayer {
  std::string name;  ///< of the module in the state dict
  int64_t in = 0, out = 0;
  int64_t pixels = 0;  ///< of its map; a batch has that many rows for each sample
};

/// Those of all blocks, in order.
std::vector<LinearLayer> linear_layers(const UniRepLKNetOptions& options, int64_t height, int64_t width);

struct Counts {
  int64_t parameters = 0;
  int64_t macs = 0;
};

/// Sums of the layer table.
Counts count(const UniRepLKNetOptions& options, int64_t height, int64_t width);

}  // namespace unireplk::models
