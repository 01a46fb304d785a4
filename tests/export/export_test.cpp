#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/golden.h"
#include "support/temporary_folder.h"
#include "support/tolerances.h"
#include "unireplk/core/error.h"
#include "unireplk/export/deploy_file.h"
#include "unireplk/export/merge.h"
#include "unireplk/export/proof.h"
#include "unireplk/io/tensor_file.h"
#include "unireplk/models/describe.h"
#include "unireplk/models/state_dict.h"

namespace unireplk::exporting {
namespace {

using Catch::Matchers::Contains;
using models::UniRepLKNet;
using models::UniRepLKNetOptions;
using nlohmann::json;

UniRepLKNet filled(const UniRepLKNetOptions& options) {
  UniRepLKNet network(options);
  test::fill(models::state_dict(*network));
  network->eval();
  return network;
}

UniRepLKNetOptions narrow() {
  return {
      .depths = {1, 2, 2, 1}, .dims = {8, 16, 24, 32}, .kernel_sizes = {{3}, {13, 0}, {17, 7}, {5}}, .num_classes = 10};
}

Proof proof_of(UniRepLKNet& train, UniRepLKNet& deploy) {
  return verify(*train, *deploy, test::formula_input({1, train->options().in_channels, 64, 64}));
}

void check_variant(const std::string& name) {
  CAPTURE(name);
  auto train = filled(models::variant_options(name));
  auto deploy = merged(*train);
  const auto proof = proof_of(train, deploy);
  CHECK(proof.blocks.size() == train->blocks().size());
  CHECK(proof.worst_f64() <= test::kMergeF64);
  CHECK(proof.worst_f32() <= test::kMergeF32);
  CHECK(proof.logits_difference <= 2 * test::kOutputF32);
  CHECK_FALSE(train->options().deploy);
}

TEST_CASE("verify: every variant's deploy form is proven equal", "[numeric]") {
  check_variant(
      GENERATE(as<std::string>(), "unireplknet_a", "unireplknet_f", "unireplknet_p", "unireplknet_n", "unireplknet_t"));
}

TEST_CASE("verify: the large variants' deploy form is proven equal", "[numeric][slow]") {
  check_variant(GENERATE(as<std::string>(), "unireplknet_s", "unireplknet_b", "unireplknet_l", "unireplknet_xl"));
}

TEST_CASE("verify: other kernels and own branches are proven equal", "[numeric]") {
  auto options = narrow();
  if (GENERATE(false, true)) options.branches = {{.kernel_size = 13, .stage = {}, .branches = {{3, 6}, {7, 1}}}};
  auto train = filled(options);
  auto deploy = merged(*train);
  const auto proof = proof_of(train, deploy);
  CHECK(proof.holds());
  CHECK(proof.worst_f64() <= test::kMergeF64);
  CHECK(proof.worst_f32() <= test::kMergeF32);
  CHECK(proof.logits_difference <= 2 * test::kOutputF32);
  CHECK(proof.blocks.at(1).block == "stages.1.0");
}

TEST_CASE("verify: a fresh network's tiny layer scale hides nothing", "[numeric]") {
  UniRepLKNet train(narrow());
  models::initialise(*train, at::make_generator<at::CPUGeneratorImpl>(1));
  auto deploy = merged(*train);
  CHECK(proof_of(train, deploy).holds());
  const at::NoGradGuard no_graph;
  deploy->blocks()[1]->pwconv2->weight.mul_(1.001);
  CHECK_FALSE(proof_of(train, deploy).holds());
}

TEST_CASE("verify: one dilation offset broken makes the proof fail", "[numeric]") {
  auto train = filled(narrow());
  auto deploy = merged(*train);
  auto wrong = filled(narrow());
  nn::DilatedReparamBlock merged_wrongly = wrong->blocks()[1]->dwconv_dilated;
  merged_wrongly->branches[2].dilation = 4;  // of 3; only the merge reads it
  wrong->merge();
  nn::DilatedReparamBlock deployed = deploy->blocks()[1]->dwconv_dilated;
  deployed->lk_origin->assign(merged_wrongly->lk_origin->weight, merged_wrongly->lk_origin->bias);
  const auto proof = proof_of(train, deploy);
  REQUIRE(proof.failures().size() == 1);
  CHECK_THAT(proof.failures().front(), Contains("stages.1.0") && Contains("in float32, limit 1e-05"));
  CHECK_THROWS_WITH(require(proof), Contains("stages.1.0"));
}

TEST_CASE("verify: a wrong merge fails in float64", "[numeric]") {
  const nn::BlockOptions options{.channels = 8, .kernel_size = 13, .tensor = at::kDouble};
  nn::Block train(options), deploy(options);
  for (const auto& block : {train, deploy}) test::fill(models::state_dict(*block));
  train->eval();
  deploy->dwconv_dilated->branches[4].dilation = 4;  // of 5
  deploy->merge();
  const auto x = test::formula_input({1, 8, 16, 16}).to(at::kDouble).contiguous(at::MemoryFormat::ChannelsLast);
  CHECK(branch_difference(*train, *deploy, x) > 1e-3);
}

TEST_CASE("verify: not a number is not a proof", "[numeric]") {
  auto train = filled(narrow());
  auto deploy = merged(*train);
  const at::NoGradGuard no_graph;
  deploy->blocks()[0]->pwconv2->bias.fill_(std::numeric_limits<float>::quiet_NaN());
  CHECK_FALSE(proof_of(train, deploy).holds());
}

TEST_CASE("verify: channels with layer scale 0 must be silent", "[numeric]") {
  auto train = filled(narrow());
  {
    const at::NoGradGuard no_graph;
    train->blocks()[1]->gamma[3] = 0;
  }
  auto deploy = merged(*train);
  CHECK(proof_of(train, deploy).holds());
  const at::NoGradGuard no_graph;
  deploy->blocks()[1]->pwconv2->bias[3] = 1e-6;
  CHECK_FALSE(proof_of(train, deploy).holds());
}

DeployFile example() {
  auto train = filled(narrow());
  DeployFile file;
  auto deploy = merged(*train);
  file.proof = proof_of(train, deploy);
  file.network = deploy;
  file.pipeline = R"({"name":"image_classification","size":64})";
  file.task = R"({"name":"classification"})";
  file.data.classes = {"hat", "shoe"};
  file.data.fields = {
      {.name = "image", .dtype = at::kByte, .shape = {-1, -1, 3}, .collate = Collate::kStack, .meaning = "RGB"}};
  file.data.constants["mean"] = at::tensor({0.5f, 0.4f, 0.3f});
  return file;
}

TEST_CASE("deploy file: comes back as it was", "[numeric]") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "net.safetensors";
  const auto file = example();
  write_deploy_file(path, file);
  auto back = read_deploy_file(path);
  const at::NoGradGuard no_graph;
  auto network = file.network;
  const auto x = test::formula_input({1, 3, 64, 64});
  CHECK(at::equal(back.network.classifier()->forward(x), network.classifier()->forward(x)));
  CHECK(back.network.options() == file.network.options());
  CHECK(back.pipeline == file.pipeline);
  CHECK(back.task == file.task);
  CHECK(back.data.classes == file.data.classes);
  CHECK(back.data.fields.at(0).shape == file.data.fields.at(0).shape);
  CHECK(back.data.fields.at(0).dtype == at::kByte);
  CHECK(at::equal(back.data.constants.at("mean"), file.data.constants.at("mean")));
  CHECK(back.proof.blocks.size() == 6);
  CHECK(back.proof.worst_f32() == file.proof.worst_f32());
}

TEST_CASE("deploy file: a forecaster of fewer stages, and controls, come back and are proven") {
  const auto [stages, seen] =
      GENERATE(table<int64_t, models::SeenByHead>({{3, models::SeenByHead::kMap}, {4, models::SeenByHead::kWindow}}));
  auto trunk = narrow();
  trunk.mode = models::Mode::kTrunk;
  trunk.stages = stages;
  models::AnyNetwork train(models::SeriesForecasterOptions{
      .backbone = trunk, .channels = 2, .length = 32, .horizon = 4, .width = 32, .shuffled = true, .seen = seen});
  train.forecaster()->initialise(at::detail::createCPUGenerator(1));
  DeployFile file{.network = merged(train), .pipeline = "{}", .task = "{}", .data = {}, .proof = {}};
  const models::ForecastInput input{.window = test::formula_input({2, 32, 2}).to(at::kFloat),
                                    .marks = at::zeros({2, 36, 4})};
  file.proof = verify(*train.forecaster(), *file.network.forecaster(), input);
  CHECK(std::ssize(file.proof.blocks) == (stages == 3 ? 5 : 6));
  CHECK(file.proof.worst_f64() <= test::kMergeF64);
  const test::TemporaryFolder folder;
  write_deploy_file(folder / "net.safetensors", file);
  auto back = read_deploy_file(folder / "net.safetensors");
  CHECK(back.network.options() == file.network.options());
  const at::NoGradGuard no_graph;
  back.network->eval();
  CHECK(at::equal(back.network.forecaster()->forward(input), file.network.forecaster()->forward(input)));
}

TEST_CASE("deploy file: refuses what must not be written", "[numeric]") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "net.safetensors";
  auto file = example();
  SECTION("an absolute path") {
    file.pipeline = R"({"name":"x","list":["/home/someone/data"]})";
    CHECK_THROWS_WITH(write_deploy_file(path, file),
                      Contains("must not hold an absolute path, got \"/home/someone/data\""));
  }
  SECTION("a proof that does not hold") {
    file.proof.blocks[2].difference_f32 = 0.1;
    CHECK_THROWS_WITH(write_deploy_file(path, file), Contains("stages.1.1"));
  }
  SECTION("train form") {
    file.network = filled(narrow());
    CHECK_THROWS_WITH(write_deploy_file(path, file), Contains("not in deploy form"));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("deploy file: refuses files that are none", "[numeric]") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "net.safetensors";
  write_deploy_file(path, example());
  auto raw = io::read_safetensors(path);
  const auto rewritten = [&](const std::string& key, const std::string& value) {
    raw.metadata[key] = value;
    io::write_safetensors(path, raw);
    return path;
  };
  CHECK_THROWS_WITH(read_deploy_file(rewritten("format_version", "99")),
                    Contains("expected format version 1, got \"99\""));
  raw.metadata["format_version"] = "1";

  const auto model = raw.metadata["model"];
  auto lie = nlohmann::json::parse(model);
  lie["dims"] = {8, 16, 24, 65536};  // 69 GB of weights, none of them in the file
  CHECK_THROWS_WITH(read_deploy_file(rewritten("model", lie.dump())), Contains("the checksum does not fit"));
  raw.metadata.erase("crc32");  // as in files from before there was one: what they say is looked at all the same
  CHECK_THROWS_WITH(read_deploy_file(rewritten("model", lie.dump())), Contains("tensors do not fit"));
  lie["num_classes"] = int64_t{1} << 62;
  CHECK_THROWS_WITH(read_deploy_file(rewritten("model", lie.dump())), Contains("num_classes: expected"));
  raw.metadata["model"] = model;
  const auto data = raw.metadata["data"];
  auto many = nlohmann::json::parse(data);
  for (int i = 0; i < 20; ++i) many["classes"].push_back(format("class {}", i));
  CHECK_THROWS_WITH(read_deploy_file(rewritten("data", many.dump())), Contains("expected at most 10 names of classes"));
  raw.metadata["data"] = data;

  CHECK_THROWS_WITH(
      read_deploy_file(rewritten("model", "{}")),
      Contains("net.safetensors: model: depths: expected a list of 4 integers, got nothing. The file is damaged"));
  raw.metadata["model"] = model;
  const auto refused = [&](const std::string& key, const json& value, const std::string& words) {
    const auto good = raw.metadata[key];
    CHECK_THROWS_WITH(read_deploy_file(rewritten(key, value.is_string() ? value.get<std::string>() : value.dump())),
                      Contains("net.safetensors: " + key + words) && !Contains("json.exception"));
    raw.metadata[key] = good;
  };
  const auto changed = [&](const std::string& key, const char* pointer, const json& value) {
    auto document = json::parse(raw.metadata[key]);
    document[json::json_pointer(pointer)] = value;
    return document;
  };
  refused("model", changed("model", "/dims/1", 16.5), ": dims: expected a list of 4 integers, got [8,16.5,24,32]");
  refused("model", changed("model", "/deploy", 1), ": deploy: expected true or false, got 1");
  refused("model", changed("model", "/mode", "else"),
          ": mode: expected one of classifier, features, trunk, got \"else\"");
  refused("model", changed("model", "/kind", 3), ": kind: expected a text, got 3");
  refused("data", changed("data", "/fields/0/dtype", 7), ": fields[0]: dtype: expected a text, got 7");
  refused("data", changed("data", "/classes/1", json(nullptr)),
          ": classes: expected a list of texts, got [\"hat\",null]");
  refused("proof", changed("proof", "/blocks/0", "x"), ": blocks[0]: expected an object, got \"x\"");
  refused("proof", "{\"blocks\": [}", ": not valid JSON at line 1, column 13: got \"}\". Write it with");

  raw.metadata.erase("model");
  CHECK_THROWS_WITH(read_deploy_file(rewritten("form", "deploy")),
                    Contains("not a deploy file: no metadata \"model\""));
}

}  // namespace
}  // namespace unireplk::exporting
