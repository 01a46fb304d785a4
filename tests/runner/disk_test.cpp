// What becomes of a run when the disk is full, read-only or damaged.
#include <sys/stat.h>

#include <fstream>

#include "runner/runs.h"
#include "support/small_disk.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;

constexpr int64_t kPage = 4096;
constexpr int64_t kEnough = 64 << 20;

bool may_mount() {
  const auto reason = SmallDisk::refusal();
  if (reason) WARN("SKIPPED: this user may mount no disk of a few bytes (" << *reason << ")");
  return !reason;
}

/// The run that nothing happens to, trained once for all tests of this file.
fs::path whole() {
  static const TemporaryFolder folder;
  static const Finished finished = run(training(folder.path()));
  REQUIRE(finished.exit_code == 0);
  return folder / "tiny";
}

/// What a file takes on a disk.
int64_t pages_of_file(const fs::path& file) {
  return (static_cast<int64_t>(fs::file_size(file)) + kPage - 1) / kPage * kPage;
}

/// What the files of a folder take.
int64_t pages_of(const fs::path& folder) {
  int64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += pages_of_file(entry);
  }
  return bytes;
}

/// Names in the folder of the checkpoints, sorted.
std::vector<std::string> checkpoints_of(const fs::path& run) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints")) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

}  // namespace

TEST_CASE("train: a disk that is full at a checkpoint ends the run; with space it goes on to the same bits") {
  if (!may_mount()) return;
  const auto last = whole() / "checkpoints" / latest_of(whole());
  const TemporaryFolder folder;
  SmallDisk disk(folder.path(), pages_of(last) * 5 / 2 + 16 * kPage);  // two checkpoints fit, no third beside them
  const auto full = run(training(folder.path()));
  INFO(full.err);
  CHECK(full.exit_code == 2);
  CHECK_THAT(full.err, Contains("No space left on device. Free space on that disk or choose another folder.\n"));
  CHECK_THAT(full.err, Contains("the newest checkpoint is that of step 20\n"));
  const std::vector<std::string> kept{"latest", "step_000000010", "step_000000020"};
  CHECK(checkpoints_of(folder / "tiny") == kept);
  CHECK(latest_of(folder / "tiny") == "step_000000020");

  const auto still_full = run(training(folder.path()));
  CHECK(still_full.exit_code == 2);
  CHECK(checkpoints_of(folder / "tiny") == kept);

  disk.resize(kEnough);
  const auto resumed = run(training(folder.path()));
  INFO(resumed.err);
  CHECK(resumed.exit_code == 0);
  CHECK_THAT(resumed.err, Contains("step_000000020: epoch 1, step 20 of "));
  check_equal_runs(whole(), folder / "tiny");
}

TEST_CASE("train: a disk that is full at a line of metrics ends the run; with space it goes on to the same bits") {
  if (!may_mount()) return;
  const TemporaryFolder folder;
  SmallDisk disk(folder.path(),
                 pages_of_file(whole() / "config.yaml") + pages_of_file(whole() / "data.safetensors") + kPage);
  const auto full = run(training(folder.path(), {"train.checkpoint.every_steps=1000"}));
  INFO(full.err);
  CHECK(full.exit_code == 2);
  CHECK_THAT(full.err, Contains("tiny/metrics.jsonl: cannot write the file: No space left on device. Free space"));
  CHECK_THAT(full.err, Contains("; there is no checkpoint\n"));
  CHECK(fs::file_size(folder / "tiny/metrics.jsonl") == kPage);  // cut within a line

  disk.resize(kEnough);
  const auto resumed = run(training(folder.path()));
  CHECK(resumed.exit_code == 0);
  CHECK_THAT(resumed.err, Contains("starting anew"));
  check_equal_runs(whole(), folder / "tiny");
}

TEST_CASE("train: a log that cannot be written is lost, and the run is not") {
  if (!may_mount()) return;
  const TemporaryFolder folder, output;
  const SmallDisk disk(folder.path(), kPage);
  std::ofstream(folder / "rest") << std::string(kPage, '.');
  auto arguments = training(output.path());
  arguments.insert(arguments.begin(), {"/bin/sh", "-c", "exec \"$@\" 2>\"$0\"", (folder / "log").string()});
  CHECK(run(arguments).exit_code == 0);
  CHECK(content(folder / "log").empty());
  check_equal_runs(whole(), output / "tiny");
}

TEST_CASE("train: a read-only disk is refused before anything is done, and what it holds stays") {
  if (!may_mount()) return;
  const TemporaryFolder folder;
  SmallDisk disk(folder.path(), kEnough);
  fs::copy(whole(), folder / "tiny", fs::copy_options::recursive);
  disk.make_read_only();
  const auto resumed = run(training(folder.path()));
  CHECK(resumed.exit_code == 2);
  CHECK_THAT(resumed.err, Contains("tiny/.lock: cannot open the file: Read-only file system. Choose a place that you "
                                   "may use, or change its permissions.\n"));
  const auto fresh = run(training(folder / "other"));
  CHECK(fresh.exit_code == 2);
  CHECK_THAT(fresh.err,
             Contains("other/tiny: cannot be made: Read-only file system. Check `output` and its rights.\n"));
  check_equal_runs(whole(), folder / "tiny");
}

TEST_CASE("train: goes on from the newest sound checkpoint, whatever became of the newest or of `latest`") {
  struct Damage {
    const char* what;
    void (*apply)(const fs::path& checkpoints, const fs::path& newest);
    bool costs_newest;
  };
  const auto damage = GENERATE(
      Damage{"a file of weights cut short",
             [](const fs::path&, const fs::path& newest) { fs::resize_file(newest / "model.safetensors", 1000); },
             true},
      Damage{"an empty file of weights",
             [](const fs::path&, const fs::path& newest) { fs::resize_file(newest / "ema.safetensors", 0); }, true},
      Damage{"an empty state.json",
             [](const fs::path&, const fs::path& newest) { fs::resize_file(newest / "state.json", 0); }, true},
      Damage{"a changed byte",
             [](const fs::path&, const fs::path& newest) {
               std::fstream(newest / "optimizer.safetensors", std::ios::in | std::ios::out).seekp(2000).put('?');
             },
             true},
      Damage{"an empty folder",
             [](const fs::path&, const fs::path& newest) {
               fs::remove_all(newest);
               fs::create_directory(newest);
             },
             true},
      Damage{"no latest", [](const fs::path& all, const fs::path&) { fs::remove(all / "latest"); }, false},
      Damage{"an empty latest", [](const fs::path& all, const fs::path&) { fs::resize_file(all / "latest", 0); },
             false},
      Damage{"a latest that points nowhere",
             [](const fs::path& all, const fs::path&) { std::ofstream(all / "latest") << "step_000009999\n"; }, false});
  INFO(damage.what);
  const TemporaryFolder folder;
  fs::copy(whole(), folder / "tiny", fs::copy_options::recursive);
  const auto checkpoints = folder / "tiny/checkpoints";
  const auto newest = checkpoints / latest_of(whole());
  damage.apply(checkpoints, newest);
  const auto resumed = run(training(folder.path()));
  INFO(resumed.err);
  CHECK(resumed.exit_code == 0);
  const auto skipped = Contains("skipped a checkpoint: " + newest.string());
  if (damage.costs_newest) {
    CHECK_THAT(resumed.err, skipped && Contains("resumed from"));
  } else {
    CHECK_THAT(resumed.err, !skipped && Contains("resumed from " + newest.string()));
  }
  check_equal_runs(whole(), folder / "tiny");
}

TEST_CASE("train: a run without a sound checkpoint is not started over by itself") {
  const TemporaryFolder folder;
  fs::copy(whole(), folder / "tiny", fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(folder / "tiny/checkpoints")) {
    if (entry.is_directory()) fs::resize_file(entry.path() / "state.json", 0);
  }
  const auto metrics = content(folder / "tiny/metrics.jsonl");
  const auto refused = run(training(folder.path()));
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("checkpoints is sound. Remove the folder of the run to start it anew.\n"));
  CHECK(content(folder / "tiny/metrics.jsonl") == metrics);
}

TEST_CASE("eval: a pointer that is gone or points nowhere says what to pass instead") {
  const TemporaryFolder folder;
  fs::copy(whole(), folder / "tiny", fs::copy_options::recursive);
  const auto run = (folder / "tiny").string();
  fs::remove(folder / "tiny/checkpoints/latest");
  const auto gone = unireplk({"eval", run, "--checkpoint", "latest"});
  CHECK(gone.exit_code == 2);
  CHECK_THAT(gone.err,
             Contains("checkpoints/latest: expected a checkpoint, got none. Train first, or pass --checkpoint "
                      "and the name of a folder beside it.\n"));
  std::ofstream(folder / "tiny/checkpoints/best") << "step_000009999\n";
  const auto nowhere = unireplk({"eval", run});
  CHECK(nowhere.exit_code == 2);
  CHECK_THAT(nowhere.err,
             Contains("step_000009999: expected a checkpoint folder with a state.json, got none. Pass best, "
                      "latest or the name of a folder in "));
}

}  // namespace unireplk::test
