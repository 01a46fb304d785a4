#include <algorithm>

#include <fmt/ranges.h>

#include "unireplk/core/error.h"
#include "unireplk/models/unireplknet.h"

namespace unireplk::models {
namespace {

/// Stage 2 repeats a short pattern of kernels that depends on its depth (spec: model, section 1.2).
std::vector<int64_t> stage2_pattern(int64_t depth) {
  switch (depth) {
    case 18:
      return {13, 3};
    case 27:
      return {13, 3, 3};
    default:
      return {13};
  }
}

bool is_published(const PerStage& depths) {
  return std::ranges::any_of(variants(), [&](const Variant& v) { return v.depths == depths; });
}

std::vector<std::vector<int64_t>> published_kernel_sizes(const PerStage& depths) {
  if (!is_published(depths)) {
    throw UserError({"kernel_sizes",
                     format("depths [{}] are not those of a published variant and have no default kernel sizes",
                            fmt::join(depths, ", ")),
                     "Give kernel_sizes, one list for each stage."});
  }
  std::vector<std::vector<int64_t>> sizes;
  for (size_t s = 0; s < kStages; ++s) {
    const auto pattern = s == 0   ? std::vector<int64_t>{3}
                         : s == 2 ? stage2_pattern(depths[s])
                                  : std::vector<int64_t>{13};
    auto& stage = sizes.emplace_back();
    for (int64_t b = 0; b < depths[s]; ++b) stage.push_back(pattern[static_cast<size_t>(b) % pattern.size()]);
  }
  return sizes;
}

void check_numbers(const UniRepLKNetOptions& o) {
  constexpr int64_t kMostChannels = 1 << 16;
  constexpr int64_t kMostClasses = 1 << 24;
  const auto check = [](bool good, const char* key, std::string message) {
    if (!good) throw UserError({key, std::move(message), ""});
  };
  for (size_t s = 0; s < kStages; ++s) {
    check(o.depths[s] >= 1 && o.depths[s] <= kMostBlocks, "depths",
          format("expected 1 to {} blocks in stage {}, got {}", kMostBlocks, s, o.depths[s]));
    check(o.dims[s] >= 4 && o.dims[s] <= kMostChannels, "dims",
          format("expected 4 to {} channels in stage {}, got {}", kMostChannels, s, o.dims[s]));
  }
  check(o.dims[0] % 2 == 0, "dims", format("expected an even number of channels in stage 0, got {}", o.dims[0]));
  check(o.in_channels >= 1 && o.in_channels <= kMostChannels, "in_channels",
        format("expected 1 to {}, got {}", kMostChannels, o.in_channels));
  check(o.mode != Mode::kClassifier || (o.num_classes >= 1 && o.num_classes <= kMostClasses), "num_classes",
        format("expected 1 to {}, got {}", kMostClasses, o.num_classes));
  check(o.stages >= 1 && o.stages <= static_cast<int64_t>(kStages), "stages",
        format("expected 1 to {}, got {}", kStages, o.stages));
  check(o.mode == Mode::kTrunk || o.stages == static_cast<int64_t>(kStages), "stages",
        format("expected all {} but in a trunk, got {}", kStages, o.stages));
  check(o.drop_path >= 0 && o.drop_path < 1, "drop_path", format("expected a rate in [0, 1), got {}", o.drop_path));
}

void check_kernel_sizes(const UniRepLKNetOptions& o) {
  constexpr int64_t kLargestKernel = 511;
  if (o.kernel_sizes.size() != kStages) {
    throw UserError(
        {"kernel_sizes", format("expected {} lists, one a stage, got {}", kStages, o.kernel_sizes.size()), ""});
  }
  for (size_t s = 0; s < kStages; ++s) {
    const auto& sizes = o.kernel_sizes[s];
    if (static_cast<int64_t>(sizes.size()) != o.depths[s]) {
      throw UserError(
          {format("kernel_sizes[{}]", s),
           format("expected {} kernel sizes, as many as stage {} has blocks, got {}", o.depths[s], s, sizes.size()),
           ""});
    }
    for (size_t b = 0; b < sizes.size(); ++b) {
      if (sizes[b] == 0 || (sizes[b] >= 3 && sizes[b] % 2 == 1 && sizes[b] <= kLargestKernel)) continue;
      throw UserError({format("kernel_sizes[{}][{}]", s, b),
                       format("expected 0 or an odd number from 3 to {}, got {}", kLargestKernel, sizes[b]), ""});
    }
  }
}

std::vector<nn::Branch> branches_of(const BranchRule& rule) {
  std::vector<nn::Branch> branches;
  for (const auto& [kernel, dilation] : rule.branches) branches.push_back({kernel, dilation});
  return branches;
}

void check_branch_rules(const UniRepLKNetOptions& o) {
  for (size_t i = 0; i < o.branches.size(); ++i) {
    const auto& rule = o.branches[i];
    const auto place = format("branches[{}]", i);
    if (rule.stage && (*rule.stage < 0 || *rule.stage >= static_cast<int64_t>(kStages))) {
      throw UserError({place + ".stage", format("expected 0 to {}, got {}", kStages - 1, *rule.stage), ""});
    }
    try {
      nn::check_branches(rule.kernel_size, branches_of(rule));
    } catch (const UserError& error) {
      throw UserError({place, error.problems().front().message, error.problems().front().cure});
    }
    bool used = false;
    for (size_t s = 0; s < kStages; ++s) {
      if (rule.stage.value_or(static_cast<int64_t>(s)) != static_cast<int64_t>(s)) continue;
      used |= std::ranges::find(o.kernel_sizes[s], rule.kernel_size) != o.kernel_sizes[s].end();
    }
    if (!used || rule.kernel_size < 7) {
      throw UserError({place,
                       format("no block has dilated branches beside kernel size {}{}", rule.kernel_size,
                              rule.stage ? format(" in stage {}", *rule.stage) : ""),
                       "Branches stand beside kernels from 7; name one that kernel_sizes has."});
    }
  }
}

}  // namespace

const std::vector<Variant>& variants() {
  static const std::vector<Variant> list{
      {"unireplknet_a", {2, 2, 6, 2}, {40, 80, 160, 320}},      {"unireplknet_f", {2, 2, 6, 2}, {48, 96, 192, 384}},
      {"unireplknet_p", {2, 2, 6, 2}, {64, 128, 256, 512}},     {"unireplknet_n", {2, 2, 8, 2}, {80, 160, 320, 640}},
      {"unireplknet_t", {3, 3, 18, 3}, {80, 160, 320, 640}},    {"unireplknet_s", {3, 3, 27, 3}, {96, 192, 384, 768}},
      {"unireplknet_b", {3, 3, 27, 3}, {128, 256, 512, 1024}},  {"unireplknet_l", {3, 3, 27, 3}, {192, 384, 768, 1536}},
      {"unireplknet_xl", {3, 3, 27, 3}, {256, 512, 1024, 2048}}};
  return list;
}

const Variant& find_variant(const std::string& name) {
  const auto found = std::ranges::find(variants(), name, &Variant::name);
  if (found != variants().end()) return *found;
  std::vector<std::string> known;
  for (const auto& variant : variants()) known.push_back(variant.name);
  throw UserError({"", format("no backbone \"{}\"", name), format("Known: {}.", fmt::join(known, ", "))});
}

UniRepLKNetOptions variant_options(const std::string& name) {
  const auto& variant = find_variant(name);
  return resolved({.depths = variant.depths, .dims = variant.dims});
}

UniRepLKNetOptions resolved(UniRepLKNetOptions options) {
  check_numbers(options);
  if (options.kernel_sizes.empty()) options.kernel_sizes = published_kernel_sizes(options.depths);
  check_kernel_sizes(options);
  check_branch_rules(options);
  return options;
}

nn::BlockOptions block_options(const UniRepLKNetOptions& options, size_t stage, size_t index,
                               at::TensorOptions tensor) {
  nn::BlockOptions block{.channels = options.dims[stage],
                         .kernel_size = options.kernel_sizes[stage][index],
                         .layer_scale_init = options.layer_scale_init,
                         .deploy = options.deploy,
                         .tensor = tensor,
                         .keep_branches = options.keep_branches};
  for (const auto& rule : options.branches) {  // a later rule wins
    const bool meant = rule.kernel_size == block.kernel_size &&
                       rule.stage.value_or(static_cast<int64_t>(stage)) == static_cast<int64_t>(stage);
    if (meant) block.branches = branches_of(rule);
  }
  return block;
}

std::string block_name(size_t stage, size_t index) { return format("stages.{}.{}", stage, index); }

}  // namespace unireplk::models
