#include "unireplk/models/transfer.h"

#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <set>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/core/name_pattern.h"
#include "unireplk/core/some_of.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::models {
namespace {

constexpr const char* kOtherShape = "another shape";
constexpr const char* kOtherType = "another type";
constexpr const char* kAbsent = "not in the file";
constexpr const char* kSkipped = "init.skip";
constexpr const char* kNoPlace = "no place in the network";

bool is_head(const std::string& name) { return name.starts_with("head."); }

bool is_stem(const std::string& name) { return name.ends_with("downsample_layers.0.0.weight"); }

/// [out, in, k, k] for another number of channels.
at::Tensor with_channels(const at::Tensor& weight, int64_t channels, StemRule rule) {
  const at::Tensor one =
      rule == StemRule::kSum ? weight.sum(1, /*keepdim=*/true) / channels : weight.mean(1, /*keepdim=*/true);
  return one.expand({-1, channels, -1, -1});
}

bool differs_in_channels_alone(const at::Tensor& a, const at::Tensor& b) {
  return a.dim() == 4 && b.dim() == 4 && a.size(0) == b.size(0) && a.size(1) != b.size(1) && a.size(2) == b.size(2) &&
         a.size(3) == b.size(3);
}

/// Decides for each tensor; changes nothing.
class Plan {
 public:
  Plan(const NamedTensors& wanted, TensorsByName given, const TransferOptions& options)
      : options_(options), given_(std::move(given)) {
    std::set<std::string> known;
    for (const auto& [name, target] : wanted) {
      rows_.push_back(row_of(name, target));
      known.insert(name);
    }
    for (const auto& [name, tensor] : given_) {
      if (!known.contains(name)) rows_.push_back({name, Fate::kUnused, kNoPlace});
    }
    check();
  }

  const std::vector<TransferRow>& rows() const { return rows_; }

  /// The value for a tensor of the network; undefined: it keeps its own.
  at::Tensor value(const TransferRow& row, const at::Tensor& target) const {
    if (row.fate == Fate::kFresh) return {};
    const auto found = given_.find(row.name);
    if (found == given_.end()) return at::zeros_like(target);  // a count of batches that old files lack
    return row.fate == Fate::kAdapted ? with_channels(found->second, target.size(1), options_.stem) : found->second;
  }

 private:
  TransferRow row_of(const std::string& name, const at::Tensor& target) const {
    const auto found = given_.find(name);
    if (any_names(options_.skip, name)) return {name, Fate::kFresh, kSkipped};
    if (found == given_.end()) {
      return may_be_missing(name) ? TransferRow{name} : TransferRow{name, Fate::kFresh, kAbsent};
    }
    const auto& tensor = found->second;
    if (tensor.is_floating_point() != target.is_floating_point()) {
      return {name, Fate::kFresh, kOtherType,
              format("expected {}, got {}", c10::toString(target.scalar_type()), c10::toString(tensor.scalar_type()))};
    }
    if (tensor.sizes() == target.sizes()) return {name};
    const auto detail = format("expected {}, got {}", ops::shape_text(target), ops::shape_text(tensor));
    if (options_.stem != StemRule::kExact && is_stem(name) && differs_in_channels_alone(target, tensor)) {
      return {name, Fate::kAdapted, options_.stem == StemRule::kSum ? "channels summed" : "mean of channels", detail};
    }
    return {name, Fate::kFresh, kOtherShape, detail};
  }

  /// Whether the network may train from this without anybody having asked for it.
  bool is_expected(const TransferRow& row) const {
    if (row.fate == Fate::kLoaded || row.fate == Fate::kAdapted) return true;
    return is_head(row.name) || any_names(options_.skip, row.name);
  }

  static std::string described(const TransferRow& row) {
    return row.detail.empty() ? row.name : format("{} ({})", row.name, row.detail);
  }

  void check() const {
    check_skip();
    const bool loads = std::ranges::any_of(
        rows_, [&](const auto& row) { return row.fate <= Fate::kAdapted && given_.contains(row.name); });
    if (!loads) {
      throw UserError({options_.place, "none of its tensors fits the network",
                       "Check that it belongs to this kind of network; `init.map` renames."});
    }
    if (!options_.partial) check_complete();
  }

  void check_skip() const {
    for (const auto& pattern : options_.skip) {
      if (std::ranges::any_of(rows_, [&](const auto& row) { return names(pattern, row.name); })) continue;
      throw UserError({"init.skip", format("\"{}\" names nothing in the network or the file", pattern), ""});
    }
  }

  void check_complete() const {
    std::vector<Problem> problems;
    for (const char* reason : {kAbsent, kOtherShape, kOtherType, kNoPlace}) {
      std::vector<std::string> found;
      bool any_stem = false;
      for (const auto& row : rows_) {
        if (row.reason != reason || is_expected(row)) continue;
        found.push_back(described(row));
        any_stem |= is_stem(row.name);
      }
      if (found.empty()) continue;
      problems.push_back(
          {options_.place, format("{} tensors, {}: {}", found.size(), reason, some_of(found)),
           any_stem ? "For other channels set init.stem to sum." : "Set init.partial to load what fits."});
    }
    if (!problems.empty()) throw UserError(std::move(problems));
  }

  const TransferOptions& options_;
  TensorsByName given_;
  std::vector<TransferRow> rows_;
};

/// Tensors under the names that they get.
NamedTensors renamed(const NamedTensors& tensors, const TransferOptions& options) {
  NamedTensors result = tensors;
  std::vector<Problem> problems;
  for (const auto& [from, to] : options.rename) {
    bool is_used = false;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i].first.starts_with(from)) continue;
      result[i].first = to + tensors[i].first.substr(from.size());
      is_used = true;
    }
    if (!is_used) {
      problems.push_back({"init.map", format("no name in {} begins with \"{}\"", options.place, from),
                          "`unireplk inspect FILE` shows the names."});
    }
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return result;
}

}  // namespace

std::vector<TransferRow> transfer(torch::nn::Module& network, const NamedTensors& weights,
                                  const TransferOptions& options) {
  const auto wanted = state_dict(network);
  const auto tensors = renamed(weights, options);
  check_form(wanted, tensors, options.place);
  const Plan plan(wanted, by_plain_name(tensors, options.place), options);
  const at::NoGradGuard no_graph;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto value = plan.value(plan.rows()[i], wanted[i].second);
    if (value.defined()) wanted[i].second.copy_(value);
  }
  return plan.rows();
}

}  // namespace unireplk::models
