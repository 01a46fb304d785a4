#include "unireplk/models/state_dict.h"

#include <algorithm>
#include <set>

#include "unireplk/core/error.h"
#include "unireplk/core/some_of.h"
#include "unireplk/models/describe.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::models {
namespace {

void collect(const torch::nn::Module& module, const std::string& prefix, NamedTensors& result) {
  for (const auto& own : module.named_parameters(/*recurse=*/false))
    result.emplace_back(prefix + own.key(), own.value());
  for (const auto& own : module.named_buffers(/*recurse=*/false)) result.emplace_back(prefix + own.key(), own.value());
  for (const auto& child : module.named_children()) collect(*child.value(), prefix + child.key() + ".", result);
}

LoadReport names_apart(const NamedTensors& wanted, const TensorsByName& given) {
  LoadReport report;
  std::set<std::string> known;
  for (const auto& [name, target] : wanted) {
    known.insert(name);
    if (!given.contains(name) && !may_be_missing(name)) report.missing.push_back(name);
  }
  for (const auto& [name, tensor] : given) {
    if (!known.contains(name)) report.unexpected.push_back(name);
  }
  return report;
}

/// "NAME (expected ..., got ...)" of each tensor that has no place in its target.
std::vector<std::string> misfits(const NamedTensors& wanted, const TensorsByName& given) {
  std::vector<std::string> result;
  for (const auto& [name, target] : wanted) {
    const auto found = given.find(name);
    if (found == given.end()) continue;
    const at::Tensor& tensor = found->second;
    if (tensor.sizes() != target.sizes()) {
      result.push_back(format("{} (expected {}, got {})", name, ops::shape_text(target), ops::shape_text(tensor)));
    } else if (tensor.is_floating_point() != target.is_floating_point()) {
      result.push_back(format("{} (expected {}, got {})", name, c10::toString(target.scalar_type()),
                              c10::toString(tensor.scalar_type())));
    }
  }
  return result;
}

std::vector<Problem> problems_of(const LoadReport& report, const std::string& place) {
  std::vector<Problem> problems;
  if (!report.missing.empty()) {
    problems.push_back(
        {place, format("{} tensors are missing: {}", report.missing.size(), some_of(report.missing)), ""});
  }
  if (!report.unexpected.empty()) {
    problems.push_back(
        {place,
         format("the network has no place for {} tensors: {}", report.unexpected.size(), some_of(report.unexpected)),
         ""});
  }
  return problems;
}

/// Compare before anything is changed. \throws UserError as load_state_dict() does.
LoadReport check(const NamedTensors& wanted, const NamedTensors& tensors, const TensorsByName& given,
                 const LoadOptions& options) {
  LoadReport report = names_apart(wanted, given);
  std::vector<Problem> problems;
  if (options.strict) problems = problems_of(report, options.place);
  if (!problems.empty()) check_form(wanted, tensors, options.place);
  if (const auto shapes = misfits(wanted, given); !shapes.empty()) {
    problems.push_back({options.place, format("{} tensors do not fit: {}", shapes.size(), some_of(shapes)), ""});
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return report;
}

}  // namespace

TensorsByName by_plain_name(const NamedTensors& tensors, const std::string& place) {
  std::string prefix;
  for (bool found = true; found && !tensors.empty();) {
    found = false;
    for (const std::string step : {"module.", "backbone."}) {
      const auto longer = prefix + step;
      if (!std::ranges::all_of(tensors, [&](const auto& t) { return t.first.starts_with(longer); })) continue;
      prefix = longer;
      found = true;
    }
  }
  TensorsByName result;
  for (const auto& [name, tensor] : tensors) {
    if (!result.emplace(name.substr(prefix.size()), tensor).second) {
      throw UserError({place, format("tensor {} comes twice", name), ""});
    }
  }
  return result;
}

bool may_be_missing(const std::string& name) { return name.ends_with("num_batches_tracked"); }

void check_form(const NamedTensors& network, const NamedTensors& weights, const std::string& place) {
  const auto own = form_of(network);
  const auto given = form_of(weights);
  if (!own || !given || *own == *given) return;
  throw UserError({place,
                   format("the weights are in {} form, the network is in {} form", to_text(*given), to_text(*own)),
                   *given == Form::kDeploy ? "A deploy file cannot be trained further: take the train-form weights."
                                           : "Export the weights first, or build the network in train form."});
}

NamedTensors state_dict(const torch::nn::Module& module) {
  NamedTensors result;
  collect(module, "", result);
  return result;
}

LoadReport load_state_dict(torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options) {
  const auto wanted = state_dict(module);
  const auto given = by_plain_name(tensors, options.place);
  LoadReport report = check(wanted, tensors, given, options);
  const at::NoGradGuard no_graph;
  for (const auto& [name, target] : wanted) {
    const auto found = given.find(name);
    if (found != given.end()) {
      target.copy_(found->second);
    } else if (may_be_missing(name)) {
      target.zero_();
    }
  }
  return report;
}

void check_state_dict(const torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options) {
  check(state_dict(module), tensors, by_plain_name(tensors, options.place), options);
}

}  // namespace unireplk::models
