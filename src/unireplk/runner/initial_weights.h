#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/config/registry.h"
#include "unireplk/models/transfer.h"

namespace unireplk::runner {

/// `init:` of a config file: what a run starts from.
struct InitConfig {
  std::filesystem::path weights;
  std::string key = {};
  std::map<std::string, std::string> map = {};
  std::vector<std::string> skip = {};
  models::StemRule stem = models::StemRule::kExact;
  bool partial = false;

  static void fields(auto& self, auto&& visit) {
    visit("weights", self.weights, config::required, "Run folder, checkpoint folder, .safetensors or .pth file.");
    visit("key", self.key, "Dictionary of a .pth file that holds the weights; left out, the usual names are tried.");
    visit("map", self.map, "Beginnings of names in the file, and what stands for them in the network.");
    visit("skip", self.skip, "Parts that start anew all the same: head, stages.3, stages.*.*.norm.");
    visit("stem", self.stem, "sum or mean: adapt the first convolution to another number of channels.");
    visit("partial", self.partial, "Load what fits, whatever else does not.");
  }
};

/// The tensors that `init` names, as they lie on disk, and the file they lie in.
struct InitialWeights {
  std::string place;
  models::NamedTensors tensors;
};

/// \throws UserError when they cannot be read.
InitialWeights read_initial_weights(const InitConfig& config, const config::Registries& registries);

/// Start a network from other weights, and tell in the log what became of each part.
/// \throws UserError when the weights cannot be read or do not fit.
void initialise_from(const InitConfig& config, torch::nn::Module& network, const config::Registries& registries);

/// A line for each part of the network and each fate in it: "head  2 tensors  initialised: another shape (...)".
std::string transfer_table(const std::vector<models::TransferRow>& rows);

}  // namespace unireplk::runner

namespace unireplk::config {

template <>
struct EnumNames<models::StemRule> {
  static constexpr std::pair<std::string_view, models::StemRule> values[] = {
      {"exact", models::StemRule::kExact}, {"sum", models::StemRule::kSum}, {"mean", models::StemRule::kMean}};
};

}  // namespace unireplk::config
