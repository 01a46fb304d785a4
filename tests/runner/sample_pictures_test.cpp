#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <sstream>

#include "runner/runs.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "unireplk/data/image/decode.h"

namespace unireplk::test {
namespace {

using Catch::Matchers::Contains;

constexpr int kItems = 3500;  // that it trains on

data::image::Image picture(const std::filesystem::path& path) {
  const auto bytes = content(path);
  return data::image::decode(std::as_bytes(std::span(bytes)), 3, path.string()).value_or_throw();
}

/// Arguments that write the pictures of a config into a folder.
std::vector<std::string> sampling(const TemporaryFolder& folder, const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"inspect", kTiny, "--json", "--sample", (folder / "seen").string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("inspect --sample: pictures of what training sees, and what each is") {
  const TemporaryFolder folder;
  const auto finished = unireplk(sampling(folder, {"--count", "6", "data.pipeline.train=[]"}));
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  const auto line = nlohmann::json::parse(finished.out);
  CHECK(line["samples"] == 6);
  REQUIRE(line["images"].size() == 1);
  const auto seen = picture(line["images"][0].get<std::string>());
  CHECK((seen.width == 3 * (28 * 4 + 2) + 2 && seen.height == 2 * (28 * 4 + 2) + 2));  // 3 columns, 4 times as large
  std::istringstream text(content(line["text"].get<std::string>()));
  int64_t lines = 0;
  for (std::string one; std::getline(text, one); ++lines) CHECK_THAT(one, Contains("train-images-idx3-ubyte.gz"));
  CHECK(lines == 6);

  int64_t dark = 0, light = 0;  // the photos themselves again: clothes on black ground, in grey
  for (int64_t y = 2; y < 114; ++y) {
    for (int64_t x = 2; x < 114; ++x) {
      const uint8_t* pixel = seen.row(y) + 3 * x;
      CHECK((pixel[0] == pixel[1] && pixel[1] == pixel[2]));
      ++(pixel[0] == 0 ? dark : light);
    }
  }
  CHECK((dark > 500 && light > 500));
  CHECK_THAT(finished.err, !Contains("warning"));
}

TEST_CASE("inspect --sample: the same config gives the same bytes, augmentation changes them, mixing is told") {
  const TemporaryFolder folder, again, mixed;
  const std::vector<std::string> few{"--count", "4", "data.loader.batch_size=4"};
  REQUIRE(unireplk(sampling(folder, few)).exit_code == 0);
  REQUIRE(unireplk(sampling(again, few)).exit_code == 0);
  const auto first = content(folder / "seen" / "image.png");
  CHECK((!first.empty() && first == content(again / "seen" / "image.png")));
  auto mixing = few;
  mixing.insert(mixing.end(), {"task.mixup=0.8", "task.erasing.probability=1"});
  const auto finished = unireplk(sampling(mixed, mixing));
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  CHECK(first != content(mixed / "seen" / "image.png"));
  CHECK_THAT(content(mixed / "seen" / "samples.txt"), Contains(" + "));
}

TEST_CASE("inspect --sample: items come as the config's sampler draws them") {
  const TemporaryFolder folder;
  const auto weights = (folder / "weights.txt").string();
  std::ofstream file(weights);
  for (int i = 0; i < kItems; ++i) file << (i == 7 ? "1\n" : "0\n");
  file.close();
  const auto finished =
      unireplk(sampling(folder, {"--count", "4", "data.sampler={kind: weighted, weights: " + weights + "}"}));
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  std::istringstream text(content(folder / "seen" / "samples.txt"));
  std::set<std::string> places;
  for (std::string line; std::getline(text, line);) places.insert(line.substr(line.find('\t')));
  CHECK(places.size() == 1);
}

TEST_CASE("inspect --sample: colour photos, more samples than a batch; a weight file has none") {
  const TemporaryFolder folder;
  const auto seen = (folder / "seen").string();
  const auto finished = unireplk({"inspect", "configs/image/clothing_a.yaml", "--json", "--sample", seen, "--count",
                                  "5", "data.loader.batch_size=2", "data.pipeline.size=64"});
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  CHECK(nlohmann::json::parse(finished.out)["samples"] == 5);
  const auto grid = picture(folder / "seen" / "image.png");
  bool is_coloured = false;
  for (size_t i = 0; i < grid.pixels.size(); i += 3) is_coloured |= grid.pixels[i] != grid.pixels[i + 2];
  CHECK(is_coloured);
  CHECK_THAT(content(folder / "seen" / "samples.txt"), Contains("examples/data/clothing/train/"));
  const auto weights = unireplk({"inspect", "weights.safetensors", "--sample", seen});
  CHECK(weights.exit_code == 2);
  CHECK_THAT(weights.err, Contains("--sample: expected a config or a run, got a weight file"));
}

}  // namespace unireplk::test
