#include <signal.h>

#include <nlohmann/json.hpp>
#include <random>

#include "runner/runs.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;

bool has_checkpoint(const fs::path& run) { return fs::exists(run / "checkpoints" / "latest"); }

}  // namespace

TEST_CASE("resume: five kills leave the bits of the unbroken run", "[numeric]") {
  const TemporaryFolder folder;
  REQUIRE(run(training(folder / "whole")).exit_code == 0);
  const auto whole = folder / "whole" / "tiny";
  const int64_t lines = count_lines(whole / "metrics.jsonl");

  const auto broken = folder / "broken" / "tiny";
  std::mt19937 random(std::random_device{}());
  for (int kills = 0; kills < 5;) {
    // Somewhere in the next sixth of the run, off the steps that are saved (every tenth).
    const int64_t start = kills * lines / 6;
    int64_t target = start + 11 + static_cast<int64_t>(random() % static_cast<uint64_t>(lines / 6));
    if (target % 10 == 0) ++target;
    CAPTURE(kills, target, lines);
    Process process(training(folder / "broken"));
    REQUIRE(process.wait_until([&] {
      return has_checkpoint(broken) && count_lines(broken / "metrics.jsonl") >= std::min(target, lines - 3);
    }));
    process.send(SIGKILL);
    const auto finished = process.wait();
    REQUIRE(finished.exit_code == 128 + SIGKILL);
    if (kills > 0) CHECK_THAT(finished.err, Catch::Contains("resumed from"));
    ++kills;
  }
  const auto last = run(training(folder / "broken"));
  CHECK(last.exit_code == 0);
  CHECK_THAT(last.err, Catch::Contains("resumed from"));
  check_equal_runs(whole, broken);
}

TEST_CASE("resume: a stop signal saves, exits 75, and the run goes on to the same bits", "[numeric]") {
  const TemporaryFolder folder;
  REQUIRE(run(training(folder / "whole")).exit_code == 0);
  {
    Process process(training(folder / "stopped"));
    const auto metrics = folder / "stopped" / "tiny" / "metrics.jsonl";
    REQUIRE(process.wait_until([&] { return count_lines(metrics) >= 17; }));
    process.send(SIGTERM);
    CHECK(process.wait().exit_code == 75);
  }
  CHECK(run(training(folder / "stopped")).exit_code == 0);
  check_equal_runs(folder / "whole" / "tiny", folder / "stopped" / "tiny");
}

TEST_CASE("resume: with copies of photos, a stopped run goes on to the same bits under other workers", "[numeric]") {
  const TemporaryFolder folder;
  const auto with_workers = [&](const char* name, const char* workers) {
    return training(folder / name, {"data.sampler.aug_repeats=3", std::string("data.loader.workers=") + workers});
  };
  REQUIRE(run(with_workers("whole", "0")).exit_code == 0);
  {
    Process process(with_workers("stopped", "1"));
    const auto metrics = folder / "stopped" / "tiny" / "metrics.jsonl";
    REQUIRE(process.wait_until([&] { return count_lines(metrics) >= 17; }));
    process.send(SIGTERM);
    CHECK(process.wait().exit_code == 75);
  }
  CHECK(run(with_workers("stopped", "4")).exit_code == 0);
  check_equal_runs(folder / "whole" / "tiny", folder / "stopped" / "tiny");
}

TEST_CASE("resume: the number of loader workers changes no bit", "[numeric]") {
  const TemporaryFolder folder;
  for (const char* workers : {"0", "1", "4"}) {
    REQUIRE(run(training(folder / workers, {std::string("data.loader.workers=") + workers})).exit_code == 0);
  }
  check_equal_runs(folder / "0" / "tiny", folder / "1" / "tiny");
  check_equal_runs(folder / "0" / "tiny", folder / "4" / "tiny");
}

TEST_CASE("verify-resume: kills at random instants leave the bytes of the unbroken training", "[numeric]") {
  const TemporaryFolder folder;
  const std::vector<std::string> arguments{"verify-resume", "tests/fixtures/tiny.yaml",        "--kills", "2",
                                           "--json",        "output=" + folder.path().string()};
  const auto finished = unireplk(arguments);
  INFO(finished.err);
  CHECK(finished.exit_code == 0);
  const auto report = nlohmann::json::parse(finished.out);
  CHECK(report.at("kills") == 2);
  CHECK(report.at("equal") == true);
  CHECK(report.at("resumed_from").size() == 2);
  const std::vector<std::string> phases = report.at("phases");
  REQUIRE(phases.size() == 2);
  int64_t kills = 0;
  for (const auto& [phase, count] : report.at("kills_in").items()) {
    CHECK(std::ranges::count(phases, phase) == count);
    kills += count.get<int64_t>();
  }
  CHECK(kills == 2);
  CHECK_THAT(finished.err, Catch::Contains("kill 1 of 2: " + phases[0] + ", saved up to step ") &&
                               Catch::Contains("kill 2 of 2: " + phases[1]));
  CHECK(fs::is_empty(folder.path()));
  auto impossible = arguments;
  impossible.push_back("data.train.images=no/such/file");
  const auto failed = unireplk(impossible);
  CHECK(failed.exit_code == 2);
  CHECK_THAT(failed.err, Catch::Contains("unbroken.log: the training ended with exit code 2"));
  CHECK_THAT(unireplk(arguments).err, Catch::Contains("the folder of an earlier verification exists"));
}

TEST_CASE("resume: a changed setting is refused by name") {
  const TemporaryFolder folder;
  REQUIRE(run(training(folder / "run", {"train.max_steps=3", "train.schedule.warmup_steps=1"})).exit_code == 0);
  const auto before = content(folder / "run" / "tiny" / "metrics.jsonl");
  const auto finished =
      run(training(folder / "run", {"train.max_steps=3", "train.schedule.warmup_steps=1", "train.optimizer.lr=0.5"}));
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Catch::Contains("train.optimizer.lr: the run was started with ") &&
                               Catch::Contains(", got 0.5. A resumed run cannot change it"));
  CHECK(content(folder / "run" / "tiny" / "metrics.jsonl") == before);
}

TEST_CASE("resume: a run that ended before its first checkpoint starts over, also with another setting") {
  const TemporaryFolder folder;
  const auto tiny = folder / "run" / "tiny";
  const std::vector<std::string> few{"train.max_steps=3", "train.schedule.warmup_steps=1", "train.optimizer.lr=0.5"};
  {
    Process process(training(folder / "run", {"train.checkpoint.every_steps=100000"}));
    REQUIRE(process.wait_until([&] { return count_lines(tiny / "metrics.jsonl") >= 5; }));
    process.send(SIGKILL);
    REQUIRE(process.wait().exit_code == 128 + SIGKILL);
  }
  REQUIRE_FALSE(has_checkpoint(tiny));
  const auto fresh = unireplk({"train", kTiny, "output=" + (folder / "run").string()});
  CHECK(fresh.exit_code == 2);
  CHECK(fresh.err.find(tiny.string() + ": the folder of this run exists and holds no checkpoint. Start it from the "
                                       "beginning with --resume, or give the run another `name`.") != fresh.err.npos);
  CHECK(count_lines(tiny / "metrics.jsonl") >= 5);

  const auto again = run(training(folder / "run", few));
  CHECK(again.exit_code == 0);
  CHECK_THAT(again.err, Catch::Contains("no checkpoint in " + tiny.string() +
                                        ": starting anew, the records of the earlier start") &&
                            Catch::Contains("config.yaml: replaced by this config"));
  CHECK_THAT(content(tiny / "config.yaml"), Catch::Contains("lr: 0.5"));
  REQUIRE(run(training(folder / "whole", few)).exit_code == 0);
  check_equal_runs(folder / "whole" / "tiny", tiny);
}

TEST_CASE("resume: a run that was moved goes on under its new name, and says when it does not") {
  const TemporaryFolder folder;
  const std::vector<std::string> few{"train.max_steps=4", "train.schedule.warmup_steps=1"};
  REQUIRE(run(training(folder / "run", few)).exit_code == 0);
  const auto moved = folder / "run" / "moved";
  std::filesystem::rename(folder / "run" / "tiny", moved);
  auto arguments = training(folder / "run", few);
  arguments.push_back("name=moved");
  const auto renamed = run(arguments);
  CHECK(renamed.exit_code == 0);
  CHECK_THAT(renamed.err, Catch::Contains("resumed from " + (moved / "checkpoints").string()));
  const auto elsewhere = unireplk({"train", (moved / "config.yaml").string(), "--resume"});
  CHECK(elsewhere.exit_code == 0);
  CHECK_THAT(elsewhere.err, Catch::Contains("lies in a run folder, but its `output` and `name` say " +
                                            (folder / "run" / "tiny").string()) &&
                                Catch::Contains("name=moved"));
  const auto here = unireplk({"train", (moved / "config.yaml").string(), "--resume", "name=moved"});
  CHECK(here.exit_code == 0);
  CHECK_THAT(here.err, !Catch::Contains("lies in a run folder"));
}

TEST_CASE("resume: without --resume an existing run is refused") {
  const TemporaryFolder folder;
  const std::vector<std::string> arguments{"train", "tests/fixtures/tiny.yaml", "train.max_steps=2",
                                           "train.schedule.warmup_steps=1", "output=" + folder.path().string()};
  REQUIRE(unireplk(arguments).exit_code == 0);
  const auto again = unireplk(arguments);
  CHECK(again.exit_code == 2);
  CHECK_THAT(again.err, Catch::Contains("--resume"));
}

}  // namespace unireplk::test
