#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "unireplk/export/proof.h"
#include "unireplk/models/any_network.h"
#include "unireplk/tensor/sample.h"

namespace unireplk::exporting {

inline constexpr int64_t kDeployFormatVersion = 1;

/// Everything that prediction needs, in one safetensors file: weights in deploy form and, as metadata, JSON
/// texts about what surrounds them. No paths, no data roots, no plugins.
struct DeployFile {
  models::AnyNetwork network;   ///< deploy form
  std::string pipeline = "{}";  ///< JSON of the pipeline's config node
  std::string task = "{}";      ///< JSON of the task's config node
  DataInfo data;                ///< fields, classes, constants
  Proof proof;
};

/// \throws ContractError when the network is in train form or the proof does not hold, UserError when the
/// pipeline or task
///   JSON holds an absolute path.
void write_deploy_file(const std::filesystem::path& path, const DeployFile& file);

/// \throws UserError on a file that is not a deploy file, a newer format, or weights that do not fit their
/// description.
DeployFile read_deploy_file(const std::filesystem::path& path);

/// The proof as JSON: limits, worst values, one row a block.
std::string proof_json(const Proof& proof);

}  // namespace unireplk::exporting
