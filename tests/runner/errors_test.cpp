#include <algorithm>
#include <fstream>
#include <regex>
#include <sstream>

#include "support/catch.h"
#include "support/process.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("config: every mistake of a file is reported at once, with its place, and nothing is written") {
  const TemporaryFolder folder;
  const auto finished = unireplk({"train", "tests/fixtures/ten_mistakes.yaml", "output=" + folder.path().string()});
  CHECK(finished.exit_code == 2);
  CHECK(finished.out.empty());
  const std::regex located(R"(^tests/fixtures/ten_mistakes\.yaml:\d+:\d+: \S+: .+\.$)");
  const auto lines = lines_of(finished.err);
  INFO(finished.err);
  CHECK(lines.size() >= 10);
  for (const auto& line : lines) CHECK(std::regex_match(line, located));
  for (const char* key : {"name", "seed", "model.backbone", "model.heads", "data.train.labels", "data.train.shuffle",
                          "data.pipeline.size", "data.loader.batch_size", "data.loader.workers", "train.epochs",
                          "train.optimizer.lr", "data.pipeline.train"}) {
    INFO(key);
    CHECK(std::any_of(lines.begin(), lines.end(),
                      [&](const auto& line) { return line.find(std::string(": ") + key) != std::string::npos; }));
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("config check: numbers that do not fit together are a mistake of the file, with its place") {
  const auto finished =
      unireplk({"config", "check", "tests/fixtures/tiny.yaml", "model.backbone.kernel_sizes=[[3],[7]]"});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Catch::Contains("tests/fixtures/tiny.yaml:8:5: ") &&
                               Catch::Contains("model.backbone: kernel_sizes: expected 4 lists"));
  const auto odd = unireplk({"config", "check", "tests/fixtures/tiny.yaml", "model.backbone.dims=[7,16,24,32]"});
  CHECK(odd.exit_code == 2);
  CHECK_THAT(odd.err, Catch::Contains("model.backbone: dims: expected an even number"));
}

TEST_CASE("config check: a batch that cannot be mixed two by two is a mistake of the file, with its place") {
  const auto check = [](std::vector<std::string> overrides) {
    overrides.insert(overrides.begin(), {"config", "check", "tests/fixtures/tiny.yaml", "data.loader.batch_size=7"});
    return unireplk(overrides);
  };
  for (const char* mixing : {"task.mixup=0.8", "task.cutmix=1", "task.cutmix_minmax=[0.2,0.8]"}) {
    for (const char* mode : {"batch", "elem", "pair"}) {
      CAPTURE(mixing, mode);
      const auto odd = check({mixing, std::string("task.mixup_mode=") + mode});
      CHECK(odd.exit_code == 2);
      CHECK(
          odd.err ==
          "command line: data.loader.batch_size: expected an even number, as mixup and cutmix mix samples two by two, "
          "got 7. Write 8, or switch task.mixup and task.cutmix off.\n");
    }
  }
  CHECK(check({}).exit_code == 0);
  CHECK(check({"task.mixup=0.8", "data.loader.batch_size=8"}).exit_code == 0);
  const auto bench = unireplk({"bench", "loader", "configs/image/fashion_a.yaml", "task.mixup=0.8", "--batch", "7"});
  CHECK(bench.exit_code == 2);
  CHECK_THAT(bench.err, Catch::Contains("data.loader.batch_size: expected an even number"));
}

TEST_CASE("config check: copies of an item that make no sense are a mistake of the file, with its place") {
  const auto check = [](std::vector<std::string> overrides) {
    overrides.insert(overrides.begin(), {"config", "check", "tests/fixtures/tiny.yaml"});
    return unireplk(overrides);
  };
  CHECK(check({"data.sampler.aug_repeats=3"}).exit_code == 0);
  CHECK_THAT(check({"data.sampler.aug_repeats=0"}).err,
             Catch::Contains("command line: data.sampler.aug_repeats: expected an integer in [1, 1024], got 0."));
  const auto many = check({"data.sampler.aug_repeats=65"});
  CHECK(many.exit_code == 2);
  CHECK(
      many.err ==
      "command line: data.sampler.aug_repeats: expected at most the 64 samples of a batch, got 65. Lower it, or raise "
      "data.loader.batch_size.\n");
  for (const char* transforms : {"[]", "[{name: pad, padding: 2}, {name: center_crop, size: 28}]"}) {
    CAPTURE(transforms);
    const auto equal = check({"data.sampler.aug_repeats=3", std::string("data.pipeline.train=") + transforms});
    CHECK(equal.exit_code == 2);
    CHECK(equal.err ==
          "command line: data.sampler.aug_repeats: expected 1, as data.pipeline.train draws nothing and all copies "
          "would be equal, got 3. Leave it out, or add a transform that draws.\n");
    CHECK(check({std::string("data.pipeline.train=") + transforms}).exit_code == 0);
  }
}

TEST_CASE("train: data that is not there is named with its key") {
  const TemporaryFolder folder;
  const auto finished = unireplk(
      {"train", "tests/fixtures/tiny.yaml", "output=" + folder.path().string(), "data.train.images=no/such/file.gz"});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Catch::Contains("no/such/file.gz"));
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("command line: a mistake exits with 2 and says where help is") {
  CHECK(unireplk({}).exit_code == 2);
  const auto unknown = unireplk({"trian"});
  CHECK(unknown.exit_code == 2);
  CHECK_THAT(unknown.err,
             Catch::StartsWith("unireplk: there is no command \"trian\". Did you mean \"train\"? Known: bench, ") &&
                 Catch::EndsWith(" See unireplk --help.\n"));
  CHECK_THAT(unireplk({"bench", "op"}).err,
             Catch::StartsWith("unireplk bench: there is no command \"op\". Did you mean \"ops\"?"));
  CHECK_THAT(unireplk({"bench"}).err, Catch::Contains("unireplk bench: A subcommand is required"));
  const auto batch = unireplk({"bench", "inference", "--batch", "0"});
  CHECK(batch.exit_code == 2);
  CHECK(batch.err ==
        "unireplk bench inference: --batch: Value 0 not in range 1 to 1048576. See unireplk bench inference --help.\n");
  CHECK(unireplk({"inspect", "tests/fixtures/tiny.yaml", "--size", "100000000000"}).exit_code == 2);
  CHECK(unireplk({"--help"}).exit_code == 0);
  for (const char* command : {"train", "eval", "predict", "export", "inspect", "config", "list", "bench", "doctor"}) {
    INFO(command);
    const auto help = unireplk({command, "--help"});
    CHECK(help.exit_code == 0);
    CHECK_THAT(help.out, Catch::Contains("--json"));
  }
}

TEST_CASE("device: a GPU that is not there is refused in words") {
  if (unireplk({"doctor", "--json"}).out.find("\"device_auto\":\"cuda") != std::string::npos) return;
  const auto finished = unireplk({"train", "tests/fixtures/tiny.yaml", "device=cuda", "--dry-run"});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Catch::Contains("CUDA"));
}

TEST_CASE("memory: what no machine holds is a mistake of the user") {
  const auto finished = unireplk({"bench", "inference", "--variant", "a", "--batch", "1048576", "--size", "65536"});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Catch::StartsWith("memory: it is not enough: ") && Catch::Contains("Take fewer or smaller"));
}

TEST_CASE("device: recorded steps are refused on a CPU") {
  const auto train =
      unireplk({"train", "tests/fixtures/tiny.yaml", "device=cpu", "train.cuda_graphs=true", "--dry-run"});
  CHECK(train.exit_code == 2);
  CHECK_THAT(train.err, Catch::Contains("train.cuda_graphs: needs a CUDA device, and the run is on cpu"));
  for (const char* what : {"train-step", "branches"}) {
    INFO(what);
    const auto bench = unireplk({"bench", what, "--variant", "a", "--batch", "2", "--size", "32", "--classes", "4",
                                 "--device", "cpu", "--cuda-graphs"});
    CHECK(bench.exit_code == 2);
    CHECK_THAT(bench.err, Catch::Contains("--cuda-graphs: needs a CUDA device, got cpu"));
  }
}

}  // namespace unireplk::test
