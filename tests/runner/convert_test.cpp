#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using nlohmann::json;

/// A safetensors file with two tensors of one number each.
void write_two_tensors(const fs::path& path, const std::string& metadata = "") {
  const std::string header = "{" + metadata +
                             R"("a.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("b":{"dtype":"I64","shape":[],"data_offsets":[4,12]}})";
  std::ofstream file(path, std::ios::binary);
  const uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), 8);
  file << header << std::string("\0\0\x80\x3f\7\0\0\0\0\0\0\0", 12);
}

}  // namespace

TEST_CASE("convert: there and back again, byte for byte") {
  const TemporaryFolder folder;
  const auto path = [&](const char* name) { return (folder / name).string(); };
  write_two_tensors(path("a.safetensors"));
  const auto there = unireplk({"convert", path("a.safetensors"), "--output", path("a.pth"), "--json"});
  INFO(there.err);
  REQUIRE(there.exit_code == 0);
  const auto line = json::parse(there.out);
  CHECK(line["tensors"] == 2);
  CHECK(line["elements"] == 2);
  CHECK(line["bytes"] == fs::file_size(path("a.pth")));
  CHECK(line["key"] == "");
  CHECK(line["left_out"] == json::array());

  CHECK(unireplk({"convert", path("a.pth"), path("b.safetensors")}).exit_code == 0);  // --output may be left away
  CHECK(unireplk({"convert", path("b.safetensors"), "--output", path("b.pth")}).exit_code == 0);
  CHECK(unireplk({"convert", path("b.pth"), "--output", path("c.safetensors")}).exit_code == 0);
  CHECK(content(path("a.pth")) == content(path("b.pth")));
  CHECK(content(path("b.safetensors")) == content(path("c.safetensors")));
  CHECK_THAT(content(path("b.safetensors")), Contains(R"("__metadata__":{"format":"pt"})"));
}

TEST_CASE("convert: says that metadata is left out") {
  const TemporaryFolder folder;
  write_two_tensors(folder / "a.safetensors", R"("__metadata__":{"network":"x"},)");
  const auto input = (folder / "a.safetensors").string();
  const auto finished = unireplk({"convert", input, "--output", (folder / "a.pth").string()});
  CHECK(finished.exit_code == 0);
  CHECK_THAT(finished.err, Contains("its metadata is left out"));
  CHECK(unireplk({"convert", input, "--output", (folder / "b.safetensors").string()}).exit_code == 0);
  CHECK_THAT(content(folder / "b.safetensors"), Contains(R"("__metadata__":{"network":"x"})"));
}

TEST_CASE("convert: mistakes are told with a cure, exit with 2 and leave no file") {
  const TemporaryFolder folder;
  const auto path = [&](const char* name) { return (folder / name).string(); };
  write_two_tensors(path("a.safetensors"));
  std::ofstream(path("broken.pth")) << "no weights";
  const auto fails = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "convert");
    const auto finished = unireplk(arguments);
    CHECK(finished.exit_code == 2);
    CHECK(finished.out.empty());
    CHECK_FALSE(fs::exists(path("out.pth")));
    return finished.err;
  };
  CHECK_THAT(fails({path("none.pth"), "--output", path("out.pth")}), Contains("none.pth: cannot open the file"));
  CHECK_THAT(fails({path("broken.pth"), "--output", path("out.pth")}), Contains("is no file of torch.save"));
  CHECK_THAT(fails({path("a.safetensors"), "--output", path("out.onnx")}),
             Contains("ends in .safetensors, .pth or .pt"));
  CHECK_THAT(fails({path("a.safetensors"), "--output", path("out.pth"), "--key", "model"}),
             Contains("expected no key"));
  CHECK_THAT(fails({path("a.safetensors")}), Contains("--output is required"));
}

TEST_CASE("convert: strict about what is no tensor, and picks the dictionary that --key names", "[numeric]") {
  const auto checkpoint = test_data("golden/torch_files/reader/checkpoint.pt");
  if (!checkpoint) return;
  const TemporaryFolder folder;
  const auto output = (folder / "out.safetensors").string();
  const auto strict = unireplk({"convert", checkpoint->string(), "--output", output});
  CHECK(strict.exit_code == 2);
  CHECK_THAT(strict.err, Contains("found 2 other values: epoch: an int, loss: a float") && Contains("--key"));
  CHECK_FALSE(fs::exists(output));

  const auto skipped = unireplk({"convert", checkpoint->string(), "--output", output, "--skip-others", "--json"});
  REQUIRE(skipped.exit_code == 0);
  CHECK(json::parse(skipped.out)["tensors"] == 5);
  CHECK(json::parse(skipped.out)["left_out"] == json::array({"epoch: an int", "loss: a float"}));

  const auto model = unireplk({"convert", checkpoint->string(), "--output", output, "--key", "model_state_dict"});
  REQUIRE(model.exit_code == 0);
  CHECK_THAT(model.out, Contains("taken: model_state_dict") && Contains("4 tensors"));

  const auto wrong = unireplk({"convert", checkpoint->string(), "--output", output, "--key", "model"});
  CHECK(wrong.exit_code == 2);
  CHECK_THAT(wrong.err, Contains("expected the key \"model\", found model_state_dict, optimizer_state_dict"));
}

TEST_CASE("convert: inspect reads a .pth file as it reads a .safetensors file", "[numeric]") {
  const auto file = test_data("golden/torch_files/reader/state_dict.pt");
  if (!file) return;
  const auto finished = unireplk({"inspect", file->string()});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Contains("state_dict.pt: "));
  CHECK_THAT(finished.err, !Contains("YAML") && !Contains("yaml"));
}

}  // namespace unireplk::test
