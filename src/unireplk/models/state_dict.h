#pragma once

#include <torch/nn/module.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace unireplk::models {

/// Tensors by name, in a meaningful order.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Parameters and buffers of a module in PyTorch's order: for each module its own parameters, its own
/// buffers, then its children (spec: model, section 4). The tensors are the module's own, with their graph
/// leaves.
NamedTensors state_dict(const torch::nn::Module& module);

using TensorsByName = std::map<std::string, at::Tensor>;

/// Tensors by name; the prefixes `module.` and `backbone.` are taken off when all names carry them. \throws UserError
/// when a name comes twice. \param place  where they came from, for messages.
TensorsByName by_plain_name(const NamedTensors& tensors, const std::string& place);

/// Whether a network may take 0 where a file has no such tensor: PyTorch before 0.4.1 did not count batches. All else
/// would be a weight without a value.
bool may_be_missing(const std::string& name);

/// \throws UserError when one is in train form and the other in deploy form.
void check_form(const NamedTensors& network, const NamedTensors& weights, const std::string& place);

struct LoadOptions {
  std::string place;   ///< where the tensors came from, for messages
  bool strict = true;  ///< false: missing and unexpected names are reported, not refused; shapes must always fit
};

/// Names that did not match.
struct LoadReport {
  std::vector<std::string> missing;     ///< in the module, not in the tensors
  std::vector<std::string> unexpected;  ///< in the tensors, not in the module
};

/// Copy tensors into a module by name. The prefixes `module.` and `backbone.` are taken off names when all
/// carry them; a missing `num_batches_tracked` becomes 0 (spec: model, section 9.1). Nothing is changed when
/// it throws. \throws UserError listing what is missing, unexpected or of another shape, and telling train
/// from deploy form.
LoadReport load_state_dict(torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options);

/// What load_state_dict() checks, and nothing more: with a module on the meta device, before memory is spent.
void check_state_dict(const torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options);

}  // namespace unireplk::models
