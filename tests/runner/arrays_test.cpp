#include <cmath>
#include <fstream>

#include "runner/runs.h"
#include "support/npy_bytes.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;

/// Series [N, L, C] whose class is the number of their waves.
void write_waves(const fs::path& folder, const std::string& split, int64_t items, float shift) {
  constexpr int64_t kSteps = 32, kChannels = 2;
  std::vector<float> inputs;
  std::vector<int64_t> targets;
  for (int64_t i = 0; i < items; ++i) {
    targets.push_back(i % 2);
    for (int64_t t = 0; t < kSteps; ++t) {
      const double angle = 6.28 * static_cast<double>((1 + 3 * (i % 2)) * t) / kSteps + static_cast<double>(i);
      for (int64_t c = 0; c < kChannels; ++c)
        inputs.push_back(static_cast<float>(5 * std::sin(angle + static_cast<double>(c))) + shift);
    }
  }
  std::ofstream(folder / ("x_" + split + ".npy"), std::ios::binary) << npy_bytes({items, kSteps, kChannels}, inputs);
  std::ofstream(folder / ("y_" + split + ".npy"), std::ios::binary) << npy_bytes({items}, targets);
}

std::string npy(const fs::path& folder, const std::string& split) {
  return "{name: npy, layout: NLC, inputs: " + (folder / ("x_" + split + ".npy")).string() +
         ", targets: " + (folder / ("y_" + split + ".npy")).string() + "}";
}

}  // namespace

TEST_CASE("arrays: trained, tested, averaged, resumed and exported from NumPy files alone", "[numeric]") {
  const TemporaryFolder folder;
  write_waves(folder.path(), "train", 64, 100);
  write_waves(folder.path(), "validation", 32, 100);
  write_waves(folder.path(), "test", 48, 101);
  const std::vector<std::string> arguments = {"train",
                                              "tests/fixtures/tiny.yaml",
                                              "output=" + folder.path().string(),
                                              "data.train=" + npy(folder.path(), "train"),
                                              "data.validation=" + npy(folder.path(), "validation"),
                                              "data.test=" + npy(folder.path(), "test"),
                                              "data.pipeline={name: array, series: rows, size: [8, 32]}",
                                              "data.loader.batch_size=8",
                                              "data.sampler.kind=class_balanced",
                                              "train.optimizer={name: adam, lr: 2.0e-3}",
                                              "train.schedule={name: plateau, patience: 1}",
                                              "train.weight_average={from_epoch: 2}",
                                              "train.early_stop={patience: 9}",
                                              "train.epochs=4",
                                              "--json"};
  const auto trained = json_line(arguments);
  CHECK(trained["finished"] == true);
  CHECK(trained["best"].get<double>() > 80);
  const auto run = folder / "tiny";
  CHECK_THAT(content(run / "config.yaml"), Catch::Contains("mean:") && Catch::Contains("std:"));

  const auto tested = json_line({"eval", run.string(), "--split", "test", "--json"});
  CHECK(tested["samples"] == 48);
  CHECK(tested["top1"] == trained["test"]["ema"]["top1"]);
  CHECK(tested["loss"].get<double>() == Approx(trained["test"]["ema"]["loss"].get<double>()).epsilon(1e-9));
  const auto averaged = json_line({"eval", run.string(), "--split", "test", "--weights", "average", "--json"});
  CHECK(averaged["top1"] == trained["test"]["average"]["top1"]);

  const auto metrics = content(run / "metrics.jsonl");
  auto again = arguments;
  again.push_back("--resume");
  CHECK_FALSE(json_line(again).contains("test"));
  CHECK((content(run / "metrics.jsonl") == metrics));

  const auto deploy = (folder / "deploy.safetensors").string();
  REQUIRE(unireplk({"export", run.string(), "--output", deploy}).exit_code == 0);
  const auto deployed =
      json_line({"eval", deploy, "--split", "test", "--json", "data.test=" + npy(folder.path(), "test")});
  CHECK(deployed["top1"].get<double>() == Approx(tested["top1"].get<double>()).margin(0.2));
  const auto missing = unireplk({"eval", deploy, "--split", "test"});
  CHECK(missing.exit_code == 2);
  CHECK_THAT(missing.err, Catch::Contains("data.test: expected a data set, got nothing"));

  std::vector<float> item(64);
  for (size_t i = 0; i < 64; ++i)
    item[i] =
        100 + static_cast<float>(5 * std::sin(6.28 * static_cast<double>(i / 2) / 32 + static_cast<double>(i % 2)));
  std::ofstream(folder / "one.npy", std::ios::binary) << npy_bytes({32, 2}, item);
  const auto predicted = json_line({"predict", deploy, (folder / "one.npy").string(), "--json"});
  CHECK(predicted["classes"][0]["label"] == "0");
}

}  // namespace unireplk::test
