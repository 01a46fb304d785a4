#include "unireplk/train/parameter_groups.h"

#include <torch/nn/module.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "unireplk/core/format.h"
#include "unireplk/core/whole_number.h"

namespace unireplk::train {
namespace {

constexpr int64_t kLastLayer = 13;
constexpr int64_t kLastOfThirdStage = 11;  ///< of 27 blocks; where there are more, the rest shares it

/// Split off the text before the next dot.
std::string_view take_part(std::string_view& rest) {
  const size_t dot = rest.find('.');
  const std::string_view part = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return part;
}

/// The next part as a number, -1 when it is none.
int64_t take_index(std::string_view& rest) { return whole_number(take_part(rest)).value_or(-1); }

ParameterGroup& group_named(std::vector<ParameterGroup>& groups, const std::string& name) {
  const auto found = std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.name == name; });
  return found != groups.end() ? *found : groups.emplace_back(ParameterGroup{.name = name, .parameters = {}});
}

}  // namespace

int64_t layer_id(std::string_view name) {
  if (name.starts_with("backbone.")) name.remove_prefix(std::string_view("backbone.").size());
  const std::string_view part = take_part(name);
  const int64_t stage = take_index(name);
  if (stage < 0 || stage > 3) return kLastLayer;
  if (part == "downsample_layers") return std::array<int64_t, 4>{0, 2, 3, 12}[static_cast<size_t>(stage)];
  if (part != "stages") return kLastLayer;
  if (stage == 2) return std::min(3 + std::max<int64_t>(take_index(name), 0) / 3, kLastOfThirdStage);
  return std::array<int64_t, 4>{1, 2, 3, 12}[static_cast<size_t>(stage)];
}

bool decays(std::string_view name, const at::Tensor& value) { return value.dim() > 1 && !name.ends_with(".bias"); }

std::vector<ParameterGroup> parameter_groups(const torch::nn::Module& network, double layer_decay, bool decay_all) {
  const bool by_layer = layer_decay != 1.0;
  std::vector<ParameterGroup> groups;
  if (!by_layer) groups = {{.name = "decay", .parameters = {}}, {.name = "no_decay", .parameters = {}}};
  for (const auto& entry : network.named_parameters()) {
    if (!entry.value().requires_grad()) continue;
    const bool decay = decay_all || decays(entry.key(), entry.value());
    const std::string kind = decay ? "decay" : "no_decay";
    const int64_t id = layer_id(entry.key());
    ParameterGroup& group = group_named(groups, by_layer ? format("layer_{}_{}", id, kind) : kind);
    group.lr_scale = by_layer ? std::pow(layer_decay, static_cast<double>(kLastLayer - id)) : 1.0;
    group.decays = decay;
    group.parameters.push_back({entry.key(), entry.value()});
  }
  return groups;
}

}  // namespace unireplk::train
