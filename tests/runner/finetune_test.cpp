#include <filesystem>
#include <nlohmann/json.hpp>

#include "runner/runs.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

/// Overrides that narrow a set of tiny.yaml to some classes.
std::vector<std::string> only(const std::string& set, const std::string& files, const std::string& classes) {
  const std::string key = "data." + set;
  return {key + "={name: subset, classes: " + classes + ", source: {name: idx, images: examples/data/fashion/" + files +
          "-images-idx3-ubyte.gz, labels: examples/data/fashion/" + files +
          "-labels-idx1-ubyte.gz, classes: examples/data/fashion/classes.txt}}"};
}

/// Trains the tiny network; what is written goes below the folder.
class FineTuningBench {
 public:
  Finished train(const std::string& name, const std::string& classes, std::vector<std::string> more) const {
    std::vector<std::string> arguments{"train",
                                       kTiny,
                                       "name=" + name,
                                       "output=" + folder.path().string(),
                                       "train.max_steps=4",
                                       "train.schedule.warmup_steps=1"};
    for (const auto* set : {"train", "validation"}) {
      for (auto& argument : only(set, set, classes)) arguments.push_back(argument);
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return unireplk(arguments);
  }

  std::string path(const std::string& name) const { return (folder / name).string(); }

  TemporaryFolder folder;
};

const std::string kFirst = "[t-shirt/top, trouser, pullover]";
const std::string kOthers = "[sneaker, bag]";

}  // namespace

TEST_CASE("fine-tuning: a run starts from another's weights, tells what became of them, and resumes without them",
          "[numeric]") {
  const FineTuningBench bench;
  const auto first = bench.train("first", kFirst, {});
  INFO(first.err);
  REQUIRE(first.exit_code == 0);
  CHECK_THAT(first.err, Contains("3 classes"));
  const std::vector<std::string> tuning{"init.weights=" + bench.path("first"),
                                        "train.freeze=[downsample_layers, \"stages.[0-2]\"]"};
  const auto tuned = bench.train("tuned", kOthers, tuning);
  INFO(tuned.err);
  REQUIRE(tuned.exit_code == 0);
  CHECK_THAT(tuned.err, Contains("init: ") && Contains("ema.safetensors"));
  CHECK_THAT(tuned.err, Contains("head") && Contains("2 tensors  initialised: another shape (head.weight expected [2"));
  CHECK_THAT(tuned.err, Contains("stages.0") && Contains("loaded") && Contains("frozen: "));

  // The same in two pieces, the second after the weights it started from are gone: the same bits.
  auto halved = tuning;
  halved.push_back("train.time_budget=0.0000001");
  REQUIRE(bench.train("halved", kOthers, halved).exit_code == 75);
  fs::remove_all(bench.folder / "first");
  halved.back() = "--resume";
  const auto resumed = bench.train("halved", kOthers, halved);
  INFO(resumed.err);
  REQUIRE(resumed.exit_code == 0);
  CHECK_THAT(resumed.err, !Contains("init: "));
  for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"}) {
    const auto below = fs::path("checkpoints") / "step_000000004" / file;
    CHECK(content(bench.folder / "tuned" / below) == content(bench.folder / "halved" / below));
  }
}

TEST_CASE("fine-tuning: weights that do not fit, or are not there, leave nothing behind") {
  const FineTuningBench bench;
  REQUIRE(bench.train("first", kFirst, {}).exit_code == 0);
  const auto refused = [&](const std::vector<std::string>& more, const auto& words) {
    const auto finished = bench.train("tuned", kOthers, more);
    CHECK(finished.exit_code == 2);
    CHECK_THAT(finished.err, words);
    CHECK_FALSE(fs::exists(bench.folder / "tuned"));
  };
  const auto weights = "init.weights=" + bench.path("first");
  refused({"init.weights=" + bench.path("none")}, Contains("none") && Contains("got nothing"));
  refused({weights, "model.backbone.dims=[8, 16, 24, 40]"}, Contains("another shape") && Contains("init.partial"));
  refused({weights, "data.pipeline.channels=3", "data.pipeline.mean=null", "data.pipeline.std=null"},
          Contains("init.stem"));
  refused({weights, "init.skip=[neck]"}, Contains("\"neck\""));
  refused({weights, "init.key=model"}, Contains("init.key"));
  refused({weights, "train.freeze=[stages.9]"}, Contains("train.freeze") && Contains("\"stages.9\""));
  refused({"init.key=model"}, Contains("init") && Contains("weights"));
}

TEST_CASE("init: a folder of images becomes a config that trains", "[numeric]") {
  const TemporaryFolder folder;
  const auto config = (folder / "clothes.yaml").string();
  const auto written = unireplk({"init", "--data", "examples/data/clothing", "--output", config});
  INFO(written.err);
  REQUIRE(written.exit_code == 0);
  CHECK_THAT(written.out, Contains("80 images of 4 classes") && Contains("unireplk train"));
  const std::vector<std::string> short_run{"output=" + folder.path().string(), "device=cpu", "train.max_steps=2",
                                           "train.schedule.warmup_epochs=0", "data.pipeline.size=64"};
  auto arguments = short_run;
  arguments.insert(arguments.begin(), {"train", config});
  const auto trained = unireplk(arguments);
  INFO(trained.err);
  CHECK(trained.exit_code == 0);

  CHECK_THAT(unireplk({"init", "--data", "examples/data/clothing", "--output", config}).err,
             Contains("the file exists"));

  // Without a folder for validation a fifth is held out; the weights of the run above are fine-tuned.
  const auto tuning = (folder / "tuning.yaml").string();
  const auto split = unireplk({"init", "--data", "examples/data/clothing/train/", "--output", tuning, "--weights",
                               (folder / "clothing").string(), "--json"});
  INFO(split.err);
  REQUIRE(split.exit_code == 0);
  CHECK(nlohmann::json::parse(split.out)["images"] == 64);
  arguments = short_run;
  arguments.insert(arguments.begin(), {"train", tuning});
  const auto tuned = unireplk(arguments);
  INFO(tuned.err);
  CHECK(tuned.exit_code == 0);
  CHECK_THAT(tuned.err, Contains("64 to train with, 16 to validate with") && Contains("init.skip"));
}

TEST_CASE("init: a folder that holds no classes is refused, and nothing is written") {
  const TemporaryFolder folder;
  const auto output = (folder / "x.yaml").string();
  const auto finished = unireplk({"init", "--data", folder.path().string(), "--output", output});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Contains("one sub-folder for each class"));
  CHECK_FALSE(fs::exists(output));
}

}  // namespace unireplk::test
