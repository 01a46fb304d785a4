#include "unireplk/train/run_folder.h"

#include <fstream>
#include <optional>

#include "support/catch.h"
#include "support/child.h"
#include "support/temporary_folder.h"
#include "unireplk/core/error.h"

namespace unireplk::train {
namespace {

using Catch::Matchers::Contains;
using test::Child;

/// True when a process of its own may take the folder.
bool is_free(const std::filesystem::path& path) {
  return Child([&] { const RunFolder folder(path, /*resume=*/true); }).wait() == 0;
}

TEST_CASE("run folder: is made with its parents, anew or to resume") {
  const test::TemporaryFolder folder;
  const bool resume = GENERATE(true, false);
  const RunFolder run(folder / "runs/name", resume);
  CHECK(std::filesystem::is_directory(folder / "runs/name"));
  CHECK(run.path() == folder / "runs/name");
  CHECK(run.checkpoints() == folder / "runs/name/checkpoints");
  CHECK(run.metrics() == folder / "runs/name/metrics.jsonl");
  CHECK_FALSE(run.config());
}

TEST_CASE("run folder: one with content is refused without resume, and left free") {
  const test::TemporaryFolder folder;
  RunFolder(folder.path(), /*resume=*/false).write_config("name: first\n");
  CHECK_THROWS_WITH(RunFolder(folder.path(), false),
                    folder.path().string() +
                        ": the folder of this run exists and holds no checkpoint. Start it from the beginning with "
                        "--resume, or give the run another `name`.");
  std::filesystem::create_directories(folder / "checkpoints/step_000000001");
  CHECK_THROWS_WITH(RunFolder(folder.path(), false), folder.path().string() +
                                                         ": the folder of this run exists. Go on with --resume, or "
                                                         "give the run another `name`.");
  const RunFolder again(folder.path(), /*resume=*/true);
  CHECK(again.config() == "name: first\n");
}

TEST_CASE("run folder: the lock of a run that wrote nothing is no content") {
  const test::TemporaryFolder folder;
  { const RunFolder first(folder.path(), false); }
  CHECK_NOTHROW(RunFolder(folder.path(), false));
}

TEST_CASE("run folder: a second holder is refused until the first is gone") {
  const test::TemporaryFolder folder;
  const bool resume = GENERATE(true, false);
  std::optional<RunFolder> first;
  first.emplace(folder.path(), false);
  CHECK_THROWS_WITH(
      RunFolder(folder.path(), resume),
      folder.path().string() + ": another process is using this run. Wait for it, or give the run another `name`.");
  CHECK_FALSE(is_free(folder.path()));
  first.reset();
  CHECK(is_free(folder.path()));
}

TEST_CASE("run folder: a killed process leaves it free") {
  const test::TemporaryFolder folder;
  Child child([&] {
    const RunFolder run(folder.path(), true);
    run.write_config("taken");
    while (true) pause();
  });
  while (!child.has_ended() && !std::filesystem::exists(folder / "config.yaml")) usleep(1000);
  CHECK_FALSE(is_free(folder.path()));
  REQUIRE(child.kill() == 128 + SIGKILL);
  CHECK(is_free(folder.path()));
}

TEST_CASE("run folder: a config is replaced as a whole") {
  const test::TemporaryFolder folder;
  const RunFolder run(folder.path(), true);
  run.write_config("a longer text of the first config");
  run.write_config("short");
  CHECK(run.config() == "short");
}

TEST_CASE("run folder: one that cannot be made is named") {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "file") << "?";
  CHECK_THROWS_WITH(RunFolder(folder / "file/run", false),
                    Contains("file/run: cannot be made: ") && Contains("Check `output` and its rights."));
}

}  // namespace
}  // namespace unireplk::train
