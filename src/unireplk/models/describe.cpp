#include "unireplk/models/describe.h"

#include <algorithm>
#include <map>
#include <set>

#include "unireplk/core/error.h"

namespace unireplk::models {
namespace {

/// Names without what stands before "downsample_layers.0.0.weight", the first of every UniRepLKNet.
class Weights {
 public:
  Weights(const NamedTensors& tensors, std::string place) : place_(std::move(place)) {
    const std::string first = "downsample_layers.0.0.weight";
    std::optional<std::string> prefix;
    for (const auto& [name, tensor] : tensors) {
      if (name.ends_with(first)) prefix = name.substr(0, name.size() - first.size());
      if (prefix) break;
    }
    if (!prefix) fail(format("not the weights of a UniRepLKNet: no tensor {}", first));
    for (const auto& [name, tensor] : tensors) {
      if (name.starts_with(*prefix)) tensors_.emplace(name.substr(prefix->size()), tensor);
    }
  }

  const at::Tensor* find(const std::string& name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }

  /// Length of one dimension of a tensor that must be there.
  int64_t size(const std::string& name, int64_t rank, int64_t dimension) const {
    const auto* tensor = find(name);
    if (!tensor) fail(format("not the weights of a UniRepLKNet: no tensor {}", name));
    if (tensor->dim() != rank) fail(format("{}: expected {} dimensions, got {}", name, rank, tensor->dim()));
    return tensor->size(dimension);
  }

  const std::map<std::string, at::Tensor>& all() const { return tensors_; }

  [[noreturn]] void fail(std::string message) const { throw UserError({place_, std::move(message), ""}); }

 private:
  std::string place_;
  std::map<std::string, at::Tensor> tensors_;
};

int64_t kernel_size_of(const Weights& weights, const std::string& block) {
  for (const auto* name : {".dwconv.lk_origin.weight", ".dwconv.weight"}) {
    if (weights.find(block + name)) return weights.size(block + name, 4, 3);
  }
  return 0;
}

/// A non-negative number of few digits; nothing for other text.
std::optional<int64_t> small_number(std::string_view text) {
  if (text.empty() || text.size() > 6) return std::nullopt;
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = 10 * value + (c - '0');
  }
  return value;
}

/// Branches that the names of a train-form block tell, in ascending dilation.
std::vector<nn::Branch> branches_in(const Weights& weights, const std::string& block) {
  std::vector<nn::Branch> found;
  const auto start = block + ".dwconv.dil_conv_k";
  for (auto it = weights.all().lower_bound(start); it != weights.all().end() && it->first.starts_with(start); ++it) {
    const std::string_view rest = std::string_view(it->first).substr(start.size());
    const auto bar = rest.find('_'), dot = rest.find('.');
    if (bar == std::string_view::npos || dot == std::string_view::npos || dot < bar) continue;
    const auto kernel = small_number(rest.substr(0, bar));
    const auto dilation = small_number(rest.substr(bar + 1, dot - bar - 1));
    if (!kernel || !dilation) weights.fail(format("{}: not the name of a branch", it->first));
    found.push_back({*kernel, *dilation});
  }
  std::ranges::stable_sort(found, {}, &nn::Branch::dilation);
  return found;
}

bool same_set(std::vector<nn::Branch> a, std::vector<nn::Branch> b) {
  const auto key = [](const nn::Branch& x) { return std::pair(x.dilation, x.kernel); };
  std::ranges::sort(a, {}, key);
  std::ranges::sort(b, {}, key);
  return a == b;
}

/// Add a rule for the branches of a block unless they are the default or a rule says so already.
void note_branches(const Weights& weights, const std::string& block, int64_t kernel_size, int64_t stage,
                   std::vector<BranchRule>& rules) {
  if (kernel_size < 7) return;
  const auto found = branches_in(weights, block);
  if (kernel_size % 2 == 1 && same_set(found, nn::default_branches(kernel_size))) return;
  BranchRule rule{.kernel_size = kernel_size, .stage = stage, .branches = {}};
  for (const auto& [kernel, dilation] : found) rule.branches.push_back({kernel, dilation});
  if (std::ranges::find(rules, rule) == rules.end()) rules.push_back(std::move(rule));
}

std::vector<int64_t> kernel_sizes_of_stage(const Weights& weights, size_t stage) {
  std::vector<int64_t> sizes;
  while (std::ssize(sizes) < kMostBlocks && weights.find(block_name(stage, sizes.size()) + ".pwconv1.1.weight")) {
    sizes.push_back(kernel_size_of(weights, block_name(stage, sizes.size())));
  }
  return sizes;
}

}  // namespace

std::string_view to_text(Form form) { return form == Form::kTrain ? "train" : "deploy"; }

std::optional<Form> form_of(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (name.ends_with("pwconv2.2.running_var")) return Form::kTrain;
    if (name.ends_with("pwconv2.0.bias")) return Form::kDeploy;
  }
  return std::nullopt;
}

UniRepLKNetOptions infer_options(const NamedTensors& tensors, const std::string& place) {
  const Weights weights(tensors, place);
  UniRepLKNetOptions options;
  const auto form = form_of(tensors);
  if (!form) weights.fail("not the weights of a UniRepLKNet: neither train nor deploy form");
  options.deploy = *form == Form::kDeploy;
  options.in_channels = weights.size("downsample_layers.0.0.weight", 4, 1);
  options.layer_scale_init = options.deploy || weights.find("stages.0.0.gamma") ? options.layer_scale_init : 0;
  for (size_t s = 0; s < kStages; ++s) {
    options.dims[s] =
        weights.size(s == 0 ? "downsample_layers.0.4.bias" : format("downsample_layers.{}.1.bias", s), 1, 0);
    const auto& sizes = options.kernel_sizes.emplace_back(kernel_sizes_of_stage(weights, s));
    options.depths[s] = static_cast<int64_t>(sizes.size());
    for (size_t b = 0; b < sizes.size() && !options.deploy; ++b) {
      note_branches(weights, block_name(s, b), sizes[b], static_cast<int64_t>(s), options.branches);
    }
  }
  options.mode = weights.find("head.weight")    ? Mode::kClassifier
                 : weights.find("norm0.weight") ? Mode::kFeatures
                                                : Mode::kTrunk;
  if (options.mode == Mode::kClassifier) options.num_classes = weights.size("head.weight", 2, 0);
  try {
    return resolved(std::move(options));
  } catch (const UserError& error) {
    weights.fail(error.problems().front().text());
  }
}

std::string variant_name(const UniRepLKNetOptions& options) {
  const auto found = std::ranges::find_if(
      variants(), [&](const Variant& v) { return v.depths == options.depths && v.dims == options.dims; });
  return found == variants().end() ? "unireplknet" : found->name;
}

}  // namespace unireplk::models
