#include <filesystem>

#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

/// Trains the tiny network on the photos of clothes, from wherever they are.
class ClothesBench {
 public:
  /// The weights after some steps.
  std::string train(const std::string& name, const std::string& training, const std::string& validation) const {
    const auto finished = unireplk(command("train", training, validation, {"name=" + name}));
    INFO(finished.err);
    REQUIRE(finished.exit_code == 0);
    return content(folder / name / "checkpoints" / "step_000000003" / "model.safetensors");
  }

  std::vector<std::string> command(const std::string& what, const std::string& training, const std::string& validation,
                                   const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{what,
                                       "tests/fixtures/tiny.yaml",
                                       "output=" + here,
                                       "train.max_steps=3",
                                       "train.schedule.warmup_steps=1",
                                       "data.pipeline.train=[{name: random_resized_crop, size: 28}]",
                                       "data.pipeline.evaluation=[{name: warp, size: 28}]",
                                       "data.loader.batch_size=16",
                                       "data.train=" + training,
                                       "data.validation=" + validation};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  TemporaryFolder folder;
  std::string here = folder.path().string();
  std::string photos = fs::absolute("examples/data/clothing").string();
  std::string training_folder = "{name: image_folder, root: '" + photos + "/train'}";
  std::string validation_folder = "{name: image_folder, root: '" + photos + "/validation'}";
};

}  // namespace

TEST_CASE("tar: training from tar files leaves the bits of training from the unpacked folder", "[numeric]") {
  const ClothesBench bench;
  // A tar file of one for each class, and a flat one with a list.
  const auto made = run({"/bin/sh", "-ec",
                         "cd '" + bench.here + "'; mkdir classes; for c in $(ls '" + bench.photos +
                             "/train'); do tar -C '" + bench.photos +
                             "/train/'$c -cf classes/$c.tar .; done; tar -C classes -cf train.tar .\n"
                             "echo path,label > val.csv; cd '" +
                             bench.photos + "/validation'; for f in */*; do echo ${f#*/},${f%/*} >> '" + bench.here +
                             "/val.csv'; tar -C ${f%/*} -rf '" + bench.here + "/val.tar' ${f#*/}; done"});
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  const auto in_tar =
      bench.train("tar", "{name: tar, file: '" + bench.here + "/train.tar', index: '" + bench.here + "/index.csv'}",
                  "{name: tar, file: '" + bench.here + "/val.tar', labels: '" + bench.here + "/val.csv'}");
  CHECK(in_tar == bench.train("folder", bench.training_folder, bench.validation_folder));
  CHECK(fs::exists(bench.folder / "index.csv"));
  CHECK(content(bench.folder / "tar" / "metrics.jsonl").size() > 0);
}

TEST_CASE("pack: a pack trains like its photos, and says when it is no longer theirs", "[numeric]") {
  const ClothesBench bench;
  const auto pack = [&](const std::string& name, const std::vector<std::string>& more) {
    auto arguments =
        bench.command("pack", bench.training_folder, bench.validation_folder, {"--output", bench.here + "/" + name});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return unireplk(arguments);
  };
  const auto whole = pack("whole.pack", {"--size", "9999"});
  INFO(whole.err);
  REQUIRE(whole.exit_code == 0);
  CHECK_THAT(whole.out, Contains("packed: 80 photos, 0 of them resized") && Contains("next: data.train: {name: pack"));
  const std::string file = "{name: pack, file: '" + bench.here + "/whole.pack', origin: ";
  CHECK(bench.train("pack", file + bench.training_folder + "}", bench.validation_folder) ==
        bench.train("folder", bench.training_folder, bench.validation_folder));

  const auto other =
      unireplk(bench.command("train", file + bench.validation_folder + "}", bench.validation_folder, {"name=other"}));
  CHECK(other.exit_code == 2);
  CHECK_THAT(other.err, Contains("whole.pack: it was made from another `origin`"));

  CHECK_THAT(pack("small.pack", {"--size", "64", "--json"}).out, Contains("\"resized\":80,\"undecoded\":0"));
  CHECK(fs::file_size(bench.folder / "small.pack") < fs::file_size(bench.folder / "whole.pack") / 4);
  CHECK_THAT(pack("small.pack", {}).err, Contains("small.pack: the file exists. Remove it"));
  CHECK_THAT(pack("none/small.pack", {}).err, Contains("none/small.pack"));
}

}  // namespace unireplk::test
