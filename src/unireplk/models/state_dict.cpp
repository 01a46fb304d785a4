#include "unireplk/models/state_dict.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/ranges.h>

#include "unireplk/core/error.h"
#include "unireplk/models/describe.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::models {
namespace {

constexpr size_t kNamesShown = 5;

void collect(const torch::nn::Module& module, const std::string& prefix, NamedTensors& result) {
  for (const auto& own : module.named_parameters(/*recurse=*/false))
    result.emplace_back(prefix + own.key(), own.value());
  for (const auto& own : module.named_buffers(/*recurse=*/false)) result.emplace_back(prefix + own.key(), own.value());
  for (const auto& child : module.named_children()) collect(*child.value(), prefix + child.key() + ".", result);
}

std::map<std::string, at::Tensor> by_plain_name(const NamedTensors& tensors, const std::string& place) {
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
  std::map<std::string, at::Tensor> result;
  for (const auto& [name, tensor] : tensors) {
    if (!result.emplace(name.substr(prefix.size()), tensor).second) {
      throw UserError({place, format("tensor {} comes twice", name), ""});
    }
  }
  return result;
}

std::string some_of(const std::vector<std::string>& names) {
  const auto shown = std::min(names.size(), kNamesShown);
  auto text = format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (shown < names.size()) text += format(" and {} more", names.size() - shown);
  return text;
}

/// "weights are in deploy form, the network is in train form", when that is the whole matter.
std::string form_mismatch(const NamedTensors& wanted, const NamedTensors& given) {
  const auto network = form_of(wanted);
  const auto weights = form_of(given);
  if (!network || !weights || *network == *weights) return {};
  return format("the weights are in {} form, the network is in {} form", to_text(*weights), to_text(*network));
}

std::string form_cure(const NamedTensors& given) {
  return form_of(given) == Form::kDeploy ? "A deploy file cannot be trained further: take the train-form weights."
                                         : "Export the weights first, or build the network in train form.";
}

}  // namespace

NamedTensors state_dict(const torch::nn::Module& module) {
  NamedTensors result;
  collect(module, "", result);
  return result;
}

LoadReport load_state_dict(torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options) {
  const auto wanted = state_dict(module);
  const auto given = by_plain_name(tensors, options.place);
  LoadReport report;
  std::vector<std::string> shapes;
  std::set<std::string> known;
  for (const auto& [name, target] : wanted) {
    known.insert(name);
    const auto found = given.find(name);
    if (found == given.end()) {
      if (!name.ends_with("num_batches_tracked")) report.missing.push_back(name);
    } else if (found->second.sizes() != target.sizes()) {
      shapes.push_back(
          format("{} (expected {}, got {})", name, ops::shape_text(target), ops::shape_text(found->second)));
    } else if (found->second.is_floating_point() != target.is_floating_point()) {
      shapes.push_back(format("{} (expected {}, got {})", name, c10::toString(target.scalar_type()),
                              c10::toString(found->second.scalar_type())));
    }
  }
  for (const auto& [name, tensor] : given) {
    if (!known.contains(name)) report.unexpected.push_back(name);
  }

  std::vector<Problem> problems;
  if (options.strict && !(report.missing.empty() && report.unexpected.empty())) {
    if (const auto text = form_mismatch(wanted, tensors); !text.empty()) {
      throw UserError({options.place, text, form_cure(tensors)});
    }
    if (!report.missing.empty()) {
      problems.push_back(
          {options.place, format("{} tensors are missing: {}", report.missing.size(), some_of(report.missing)), ""});
    }
    if (!report.unexpected.empty()) {
      problems.push_back(
          {options.place,
           format("the network has no place for {} tensors: {}", report.unexpected.size(), some_of(report.unexpected)),
           ""});
    }
  }
  if (!shapes.empty()) {
    problems.push_back({options.place, format("{} tensors do not fit: {}", shapes.size(), some_of(shapes)), ""});
  }
  if (!problems.empty()) throw UserError(std::move(problems));

  const at::NoGradGuard no_graph;
  for (const auto& [name, target] : wanted) {
    const auto found = given.find(name);
    if (found != given.end()) {
      target.copy_(found->second);
    } else if (name.ends_with("num_batches_tracked")) {
      target.zero_();
    }
  }
  return report;
}

}  // namespace unireplk::models
