#include "unireplk/export/deploy_file.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "unireplk/core/error.h"
#include "unireplk/export/network_json.h"
#include "unireplk/formats/checksum.h"
#include "unireplk/formats/json.h"
#include "unireplk/formats/json_object.h"
#include "unireplk/io/tensor_file.h"
#include "unireplk/io/weight_file.h"
#include "unireplk/models/state_dict.h"

namespace unireplk::exporting {
namespace {

using nlohmann::json;

/// Constants of the data lie beside the weights under this prefix; no weight's name starts with it.
constexpr std::string_view kConstantPrefix = "data.constants.";

constexpr const char* kDamaged = "Write it with `unireplk export`.";

/// A deploy file is given away: what it says must mean the same on another machine.
void check_no_paths(const json& value, const std::string& place) {
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    if (std::filesystem::path(text).is_absolute()) {
      throw UserError({place, format("a deploy file must not hold an absolute path, got \"{}\"", text),
                       "Give the file's content through the data set's constants."});
    }
  }
  if (value.is_object()) {
    for (const auto& [key, child] : value.items()) check_no_paths(child, place + "." + key);
  } else if (value.is_array()) {
    for (const auto& child : value) check_no_paths(child, place);
  }
}

json parse(const std::string& text, const std::string& place) {
  auto parsed = formats::parse_json(text, place);
  if (!parsed) throw UserError({place, parsed.problem().message, kDamaged});
  return std::move(parsed).value();
}

const std::string& entry(const io::TensorFile& file, const std::string& key, const std::string& place) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) {
    throw UserError({place, format("not a deploy file: no metadata \"{}\"", key), kDamaged});
  }
  return found->second;
}

/// What has another form is named as what it is, and not as a damaged file.
void require_deploy_file(const std::filesystem::path& path) {
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(path, error);
  if (!is_folder && !io::is_torch_name(path)) return;
  throw UserError({path.string(), format("expected a deploy file, got {}", is_folder ? "a folder" : "a PyTorch file"),
                   "Write one with `unireplk export RUN --output NAME.safetensors`."});
}

void check_version(const io::TensorFile& file, const std::string& place) {
  const auto& text = entry(file, "format_version", place);
  if (text != std::to_string(kDeployFormatVersion)) {
    throw UserError({place, format("expected format version {}, got \"{}\"", kDeployFormatVersion, text),
                     "Read it with the version of the program that wrote it, or a newer one."});
  }
}

/// Of the weights and of what is said about them: the proof holds for these alone.
std::string checksum_of(const io::TensorFile& file) {
  uint32_t crc = 0;
  const auto add = [&](std::span<const std::byte> bytes) { crc = formats::crc32_of(bytes, crc); };
  for (const char* key : {"model", "pipeline", "task", "data", "proof"}) {
    const auto found = file.metadata.find(key);
    if (found != file.metadata.end()) add(std::as_bytes(std::span(found->second)));
  }
  std::map<std::string, at::Tensor> sorted(file.tensors.begin(), file.tensors.end());
  for (const auto& [name, tensor] : sorted) {
    const auto dense = tensor.detach().to(at::kCPU).contiguous();
    add(std::as_bytes(std::span(name)));
    add({static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()});
  }
  return format("{:08x}", crc);
}

/// Files that were written before there were checksums have none.
void check_checksum(const io::TensorFile& file, const std::string& place) {
  const auto expected = file.metadata.find("crc32");
  if (expected == file.metadata.end() || expected->second == checksum_of(file)) return;
  throw UserError({place, "the checksum does not fit the content", "The file is damaged: copy it or export it again."});
}

Proof proof_from(const json& source, const std::string& place) {
  const formats::JsonObject object(source, place, kDamaged);
  Proof proof;
  for (const auto& row : object.objects("blocks")) {
    proof.blocks.push_back({.block = row.get<std::string>("block"),
                            .difference_f64 = row.get<double>("difference_f64"),
                            .difference_f32 = row.get<double>("difference_f32")});
  }
  proof.logits_difference = object.get<double>("logits_difference");
  return proof;
}

/// The options are only what the file says: memory is spent on weights that are there.
models::AnyNetwork network_with(const models::NetworkOptions& options, const models::NamedTensors& weights,
                                const std::string& place) {
  const models::AnyNetwork plan(options, at::TensorOptions(at::kMeta));
  models::check_state_dict(*plan, weights, {.place = place});
  models::AnyNetwork network(options);
  models::load_state_dict(*network, weights, {.place = place});
  network->eval();
  return network;
}

}  // namespace

std::string proof_json(const Proof& proof) {
  auto blocks = json::array();
  for (const auto& row : proof.blocks) {
    blocks.push_back(
        {{"block", row.block}, {"difference_f64", row.difference_f64}, {"difference_f32", row.difference_f32}});
  }
  return json{{"limit_f64", kProofLimitF64},
              {"limit_f32", kProofLimitF32},
              {"worst_f64", proof.worst_f64()},
              {"worst_f32", proof.worst_f32()},
              {"logits_difference", proof.logits_difference},
              {"blocks", std::move(blocks)}}
      .dump();
}

void write_deploy_file(const std::filesystem::path& path, const DeployFile& file) {
  UNIREPLK_CHECK(!file.network.is_empty() && file.network.backbone()->options().deploy,
                 "write_deploy_file: not in deploy form");
  UNIREPLK_CHECK(!file.proof.blocks.empty(), "write_deploy_file: there is no proof");
  require(file.proof);
  const auto pipeline = parse(file.pipeline, "pipeline");
  const auto task = parse(file.task, "task");
  check_no_paths(pipeline, "pipeline");
  check_no_paths(task, "task");
  io::TensorFile out{.tensors = models::state_dict(*file.network), .metadata = {}};
  for (const auto& [name, value] : file.data.constants)
    out.tensors.emplace_back(std::string(kConstantPrefix) + name, value);
  out.metadata = {{"format", "pt"},
                  {"format_version", std::to_string(kDeployFormatVersion)},
                  {"form", "deploy"},
                  {"model", to_json(file.network.options()).dump()},
                  {"pipeline", pipeline.dump()},
                  {"task", task.dump()},
                  {"data", to_json(file.data).dump()},
                  {"proof", proof_json(file.proof)}};
  out.metadata["crc32"] = checksum_of(out);
  io::write_safetensors(path, out);
}

DeployFile read_deploy_file(const std::filesystem::path& path) {
  require_deploy_file(path);
  const auto file = io::read_safetensors(path);
  const auto place = path.string();
  check_version(file, place);
  check_checksum(file, place);
  const auto node = [&](const char* key) { return parse(entry(file, key, place), place + ": " + key); };
  const auto options = network_from_json(node("model"), place + ": model");
  if (!models::backbone_options(options).deploy)
    throw UserError({place, "the network is not in deploy form", kDamaged});

  DeployFile result;
  result.pipeline = node("pipeline").dump();
  result.task = node("task").dump();
  result.data = data_info_from_json(node("data"), place + ": data");
  result.proof = proof_from(node("proof"), place + ": proof");
  models::NamedTensors weights;
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with(kConstantPrefix)) {
      result.data.constants[name.substr(kConstantPrefix.size())] = tensor;
    } else {
      weights.emplace_back(name, tensor);
    }
  }
  const auto* classifier = std::get_if<models::UniRepLKNetOptions>(&options);
  if (classifier && static_cast<int64_t>(result.data.classes.size()) > classifier->num_classes) {
    throw UserError({place,
                     format("expected at most {} names of classes, as many as the network has, got {}",
                            classifier->num_classes, result.data.classes.size()),
                     kDamaged});
  }
  result.network = network_with(options, weights, place);
  return result;
}

}  // namespace unireplk::exporting
