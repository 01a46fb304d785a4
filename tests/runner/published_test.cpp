#include <filesystem>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;

/// Twenty-four photos of ImageNet as its folders hold them, for training and validation.
struct ImageNet {
  explicit ImageNet(const fs::path& photos) {
    for (const auto& entry : fs::directory_iterator(photos)) {
      if (entry.path().extension() != ".JPEG") continue;
      const auto synset = entry.path().filename().string().substr(0, 9);
      for (const char* set : {"train", "val"}) {
        fs::create_directories(folder / set / synset);
        fs::copy_file(entry.path(), folder / set / synset / entry.path().filename());
      }
    }
  }

  TemporaryFolder folder;
};

/// Trains published configs for two steps of two small photos each.
class ImageNetBench {
 public:
  explicit ImageNetBench(const ImageNet& imagenet) : imagenet_(imagenet) {}

  fs::path run_of(const std::string& config) const { return folder_ / fs::path(config).stem(); }

  Finished train(const std::string& config, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"train", "configs/image/" + config + ".yaml", "train.max_steps=2"};
    arguments.insert(arguments.end(), {"train.accumulate_steps=1", "train.schedule.warmup_epochs=0", "device=cpu"});
    arguments.insert(arguments.end(), {"data.pipeline.size=64", "data.loader.batch_size=2", "data.loader.workers=1"});
    arguments.push_back("data.train.root=" + (imagenet_.folder / "train").string());
    if (!config.starts_with("imagenet22k")) {
      arguments.push_back("data.validation.root=" + (imagenet_.folder / "val").string());
    }
    arguments.push_back("output=" + folder_.path().string());
    arguments.insert(arguments.end(), more.begin(), more.end());
    return unireplk(arguments);
  }

  /// Train in two pieces, then measure.
  void check(const std::string& config, const std::vector<std::string>& more = {}) const {
    INFO(config);
    auto halved = more;
    halved.push_back("train.time_budget=0.0000001");
    const auto stopped = train(config, halved);
    INFO(stopped.err);
    REQUIRE(stopped.exit_code == 75);
    auto rest = more;
    rest.push_back("--resume");
    const auto finished = train(config, rest);
    INFO(finished.err);
    REQUIRE(finished.exit_code == 0);
    const auto evaluated =
        unireplk({"eval", run_of(config).string(), "--checkpoint", "latest", "--json",
                  "data.validation.name=image_folder", "data.validation.root=" + (imagenet_.folder / "val").string()});
    INFO(evaluated.err);
    REQUIRE(evaluated.exit_code == 0);
    CHECK(nlohmann::json::parse(evaluated.out)["samples"] == 24);
  }

 private:
  const ImageNet& imagenet_;
  TemporaryFolder folder_;
};

/// Pre-training and the fine-tuning that starts from it.
void check_pair(const ImageNet& imagenet, const std::string& variant) {
  const ImageNetBench bench(imagenet);
  bench.check("imagenet22k_" + variant, {"model.head.num_classes=21841"});
  bench.check("imagenet_" + variant + "_384",
              {"init.weights=" + bench.run_of("imagenet22k_" + variant).string(), "model.head.num_classes=1000"});
}

}  // namespace

TEST_CASE("published trainings from scratch on ImageNet-1K start, resume and are measured", "[numeric]") {
  const auto photos = test_data("images/imagenet_one_per_class");
  if (!photos) return;
  const ImageNet imagenet(*photos);
  const ImageNetBench bench(imagenet);
  for (const char* variant : {"a", "f", "p", "n", "t", "s"}) bench.check(std::string("imagenet_") + variant);
}

TEST_CASE("published pre-training and fine-tuning of S start, resume and are measured", "[numeric]") {
  const auto photos = test_data("images/imagenet_one_per_class");
  if (!photos) return;
  check_pair(ImageNet(*photos), "s");
}

TEST_CASE("published pre-training and fine-tuning of B, L and XL start, resume and are measured", "[slow]") {
  const auto photos = test_data("images/imagenet_one_per_class");
  if (!photos) return;
  const ImageNet imagenet(*photos);
  for (const char* variant : {"b", "l", "xl"}) check_pair(imagenet, variant);
}

}  // namespace unireplk::test
