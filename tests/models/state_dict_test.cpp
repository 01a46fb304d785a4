#include "unireplk/models/state_dict.h"

#include <algorithm>
#include <iterator>
#include <ostream>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "unireplk/core/format.h"
#include "unireplk/io/files.h"

namespace unireplk::models {

/// Name and shape of one tensor.
struct Entry {
  std::string name;
  std::vector<int64_t> shape;

  bool operator==(const Entry&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Entry& entry) {
  out << entry.name << " [";
  for (const int64_t size : entry.shape) out << ' ' << size;
  return out << " ]";
}

namespace {

using Entries = std::vector<Entry>;

UniRepLKNet outline(const UniRepLKNetOptions& options) { return UniRepLKNet(options, at::TensorOptions(at::kMeta)); }

Entries entries_of(const torch::nn::Module& module) {
  Entries entries;
  for (const auto& [name, tensor] : state_dict(module)) entries.push_back({name, tensor.sizes().vec()});
  return entries;
}

void append(Entries& entries, const Entries& more) { entries.insert(entries.end(), more.begin(), more.end()); }

/// Running statistics stand behind the bias of their batch norm.
Entries statistics(const std::string& norm, int64_t channels) {
  return {
      {norm + ".running_mean", {channels}}, {norm + ".running_var", {channels}}, {norm + ".num_batches_tracked", {}}};
}

/// The train form of a variant: parameters in order and batch norms as the reference lists them.
Entries train_entries(const std::string& variant) {
  const auto file = test::golden_folder() / ("gradients_" + variant + ".json");
  const auto golden = nlohmann::ordered_json::parse(io::read_file(file));  // in the order of the file
  const auto means = test::golden_json("gradients_" + variant)["buffers_after"];
  Entries entries;
  for (const auto& [name, row] : golden["parameters"].items()) {
    entries.push_back({name, row["shape"].get<std::vector<int64_t>>()});
    if (!name.ends_with(".bias")) continue;
    const auto layer = name.substr(0, name.size() - std::string(".bias").size());
    if (means.contains(layer + ".running_mean")) append(entries, statistics(layer, entries.back().shape.at(0)));
  }
  return entries;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Whether a tensor of the train form has no place in the deploy form (spec: model, section 4.2).
bool is_train_only(const std::string& name) {
  if (!name.starts_with("stages.")) return false;
  if (name.ends_with(".act.1.gamma")) return false;
  for (const std::string part :
       {".gamma", ".act.1.beta", ".origin_bn.", ".dil_conv_", ".dil_bn_", ".norm.", ".pwconv2.2."}) {
    if (contains(name, part)) return true;
  }
  return false;
}

/// The deploy form that belongs to a train form: no norms, branches, beta and layer scale, but biases for what
/// took them in.
Entries deploy_entries(const Entries& train) {
  Entries entries;
  for (const auto& entry : train) {
    if (is_train_only(entry.name)) continue;
    entries.push_back(entry);
    for (const std::string layer : {".dwconv", ".dwconv.lk_origin", ".pwconv2.0"}) {
      if (entry.name.ends_with(layer + ".weight")) {
        const auto name = entry.name.substr(0, entry.name.size() - std::string("weight").size());
        entries.push_back({name + "bias", {entry.shape.at(0)}});
      }
    }
  }
  return entries;
}

const auto kVariants = {"a", "f", "p", "n", "t", "s", "b", "l", "xl"};

TEST_CASE("state_dict: names, order and shapes of every variant equal the reference", "[golden]") {
  const std::string variant = GENERATE(from_range(kVariants));
  CAPTURE(variant);
  auto options = variant_options("unireplknet_" + variant);
  const auto train = train_entries(variant);
  CHECK(entries_of(*outline(options)) == train);
  options.deploy = true;
  CHECK(entries_of(*outline(options)) == deploy_entries(train));
}

TEST_CASE("state_dict: a merged network has the names of one built in deploy form", "[golden]") {
  const std::string variant = GENERATE(from_range(kVariants));
  CAPTURE(variant);
  auto network = outline(variant_options("unireplknet_" + variant));
  network->merge();
  CHECK(entries_of(*network) == deploy_entries(train_entries(variant)));
}

TEST_CASE("state_dict: numbers of tensors are those of the specification") {
  const auto [variant, train, train_parameters, deploy] =
      GENERATE(table<std::string, size_t, size_t, size_t>({{"a", 626, 374, 156},
                                                           {"f", 626, 374, 156},
                                                           {"p", 626, 374, 156},
                                                           {"n", 738, 438, 178},
                                                           {"t", 1116, 684, 321},
                                                           {"s", 1305, 819, 420},
                                                           {"b", 1305, 819, 420},
                                                           {"l", 1305, 819, 420},
                                                           {"xl", 1305, 819, 420}}));
  CAPTURE(variant);
  auto options = variant_options("unireplknet_" + variant);
  const auto network = outline(options);
  CHECK(state_dict(*network).size() == train);
  CHECK(network->parameters().size() == train_parameters);
  options.deploy = true;
  const auto deployed = outline(options);
  CHECK(state_dict(*deployed).size() == deploy);
  CHECK(deployed->parameters().size() == deploy);
}

TEST_CASE("state_dict: parameters are listed in the same order by LibTorch") {
  const auto network = outline(variant_options("unireplknet_a"));
  std::vector<std::string> ours, theirs;
  for (const auto& [name, tensor] : state_dict(*network)) {
    if (tensor.requires_grad()) ours.push_back(name);
  }
  for (const auto& parameter : network->named_parameters()) theirs.push_back(parameter.key());
  CHECK(ours == theirs);
}

Entries batch_norm(const std::string& name, int64_t channels) {
  Entries entries{{name + ".weight", {channels}}, {name + ".bias", {channels}}};
  append(entries, statistics(name, channels));
  return entries;
}

/// What blocks of 40 channels have in common, in order: squeeze-excitation and feed-forward.
Entries common_tail(bool deploy) {
  Entries entries{{"se.down.weight", {10, 40, 1, 1}}, {"se.down.bias", {10}},
                  {"se.up.weight", {40, 10, 1, 1}},   {"se.up.bias", {40}},
                  {"pwconv1.1.weight", {160, 40}},    {"pwconv1.1.bias", {160}},
                  {"act.1.gamma", {1, 1, 1, 160}}};
  if (!deploy) entries.push_back({"act.1.beta", {1, 1, 1, 160}});
  entries.push_back({"pwconv2.0.weight", {40, 160}});
  append(entries, deploy ? Entries{{"pwconv2.0.bias", {40}}} : batch_norm("pwconv2.2", 40));
  return entries;
}

/// A block of 40 channels as section 4.2 of the specification lists it.
Entries block_entries(int64_t kernel_size, bool deploy) {
  Entries entries;
  if (!deploy) entries.push_back({"gamma", {40}});
  if (kernel_size == 5) {
    entries.push_back({"dwconv.weight", {40, 1, 5, 5}});
    if (deploy) entries.push_back({"dwconv.bias", {40}});
  }
  if (kernel_size == 13) {
    entries.push_back({"dwconv.lk_origin.weight", {40, 1, 13, 13}});
    append(entries, deploy ? Entries{{"dwconv.lk_origin.bias", {40}}} : batch_norm("dwconv.origin_bn", 40));
    for (const auto& [branch, size] : {std::pair{"k5_1", 5}, {"k7_2", 7}, {"k3_3", 3}, {"k3_4", 3}, {"k3_5", 3}}) {
      if (deploy) break;
      entries.push_back({format("dwconv.dil_conv_{}.weight", branch), {40, 1, size, size}});
      append(entries, batch_norm(format("dwconv.dil_bn_{}", branch), 40));
    }
  }
  if (kernel_size > 0 && !deploy) append(entries, batch_norm("norm", 40));
  append(entries, common_tail(deploy));
  return entries;
}

TEST_CASE("state_dict: a block of each kind has the tensors of the specification") {
  const auto [kernel_size, train, deploy] =
      GENERATE(table<int64_t, size_t, size_t>({{0, 15, 9}, {5, 21, 11}, {13, 56, 11}}));
  const bool is_deploy = GENERATE(false, true);
  CAPTURE(kernel_size, is_deploy);
  const nn::Block block(nn::BlockOptions{.channels = 40, .kernel_size = kernel_size, .deploy = is_deploy});
  const auto entries = entries_of(*block);
  CHECK(entries == block_entries(kernel_size, is_deploy));
  CHECK(entries.size() == (is_deploy ? deploy : train));
}

TEST_CASE("state_dict: no layer scale, no gamma") {
  const nn::Block block(nn::BlockOptions{.channels = 40, .kernel_size = 5, .layer_scale_init = 0});
  auto expected = block_entries(5, false);
  expected.erase(expected.begin());
  CHECK(entries_of(*block) == expected);
}

TEST_CASE("state_dict: feature mode has four norms, the trunk none, instead of norm and head") {
  auto options = variant_options("unireplknet_a");
  options.deploy = GENERATE(false, true);
  auto backbone = entries_of(*outline(options));
  const Entries head(backbone.end() - 4, backbone.end());
  CHECK(head ==
        Entries{{"norm.weight", {320}}, {"norm.bias", {320}}, {"head.weight", {1000, 320}}, {"head.bias", {1000}}});
  backbone.resize(backbone.size() - 4);
  options.mode = Mode::kTrunk;
  CHECK(entries_of(*outline(options)) == backbone);
  options.mode = Mode::kFeatures;
  for (const int64_t s : {0, 1, 2, 3}) {
    for (const auto* part : {"weight", "bias"}) backbone.push_back({format("norm{}.{}", s, part), {40 << s}});
  }
  CHECK(entries_of(*outline(options)) == backbone);
}

TEST_CASE("state_dict: tensors are the module's own, in its dtype") {
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  nn::Block block(nn::BlockOptions{.channels = 8, .kernel_size = 7, .tensor = dtype});
  for (const auto& [name, tensor] : state_dict(*block)) {
    CAPTURE(name);
    CHECK(tensor.scalar_type() == (name.ends_with("num_batches_tracked") ? at::kLong : dtype));
  }
  state_dict(*block).front().second.detach().fill_(3);
  CHECK(block->gamma.eq(3).all().item<bool>());
}

}  // namespace
}  // namespace unireplk::models
