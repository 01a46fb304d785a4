#include <algorithm>
#include <chrono>
#include <thread>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"

namespace unireplk::train {
namespace {

using test::Recorder;
using test::TinyRun;

TEST_CASE("checkpoints: are written when the config says") {
  struct Plan {
    std::optional<int64_t> every_steps, every_epochs;
    std::optional<double> every_minutes;
    int64_t keep;
    std::vector<int64_t> steps;
  };
  const auto plan = GENERATE(Plan{{}, {}, {}, 9, {24}},  // the end
                             Plan{5, {}, {}, 9, {5, 10, 15, 20, 24}}, Plan{6, {}, {}, 9, {6, 12, 18, 24}},
                             Plan{{}, 1, {}, 9, {6, 12, 18, 24}}, Plan{{}, 3, {}, 9, {18, 24}},
                             Plan{5, 2, {}, 9, {5, 10, 12, 15, 20, 24}}, Plan{5, {}, {}, 2, {20, 24}},
                             Plan{{}, {}, 1e-12, 4, {21, 22, 23, 24}}, Plan{{}, {}, 60, 9, {24}});
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  auto config = test::tiny_config();
  config.checkpoint = {.every_steps = plan.every_steps,
                       .every_epochs = plan.every_epochs,
                       .every_minutes = plan.every_minutes,
                       .keep = plan.keep};
  TinyRun tiny(folder.path(), config, {.validates = false});
  tiny.trainer.run();
  CHECK(CheckpointStore(folder / "checkpoints", 99).steps() == plan.steps);
}

TEST_CASE("checkpoints: minutes count from the last one on") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  constexpr std::chrono::milliseconds kInterval{500};
  auto config = test::tiny_config();
  config.checkpoint.every_minutes = std::chrono::duration<double, std::ratio<60>>(kInterval).count();
  config.checkpoint.keep = 99;
  const auto wait_once = [&](const tasks::Step& where, const Batch&, tasks::Losses&) {
    if (where.step == 2) std::this_thread::sleep_for(kInterval);
  };
  TinyRun tiny(folder.path(), config, {.validates = false, .change_losses = wait_once});
  tiny.trainer.run();
  const auto steps = CheckpointStore(folder / "checkpoints", 99).steps();
  CHECK(std::ranges::count(steps, 3) == 1);
  CHECK(steps.size() < 12);  // two, unless the machine stands still for seconds
}

TEST_CASE("checkpoints: a spent time budget saves and stops, and the run goes on from there") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  constexpr std::chrono::milliseconds kBudget{500};
  auto config = test::tiny_config();
  config.time_budget = std::chrono::duration<double, std::ratio<60>>(kBudget).count();
  const auto wait_once = [&](const tasks::Step& where, const Batch&, tasks::Losses&) {
    if (where.step == 2) std::this_thread::sleep_for(kBudget);
  };
  {
    TinyRun tiny(folder.path(), config, {.change_losses = wait_once});
    CHECK(tiny.trainer.run() == RunEnd::kStopped);
    CHECK(tiny.trainer.clock().step() <= 3);
  }
  config.time_budget.reset();
  TinyRun again(folder.path(), config);
  REQUIRE(again.trainer.resume());
  CHECK(again.trainer.run() == RunEnd::kFinished);
}

TEST_CASE("checkpoints: a best validation is saved at once") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  auto config = test::tiny_config();
  config.checkpoint.keep = 99;
  TinyRun tiny(folder.path(), config);
  Recorder recorder;
  tiny.trainer.observe(recorder);
  tiny.trainer.run();
  std::vector<int64_t> expected;
  double best = -1;
  for (const auto& record : recorder.validations) {
    const double top1 = record.results.back().metrics.at(0).value;
    if (top1 > best || record.step == 24) expected.push_back(record.step);
    best = std::max(best, top1);
  }
  CHECK(CheckpointStore(folder / "checkpoints", 99).steps() == expected);
  CHECK(expected.front() == 6);
}

TEST_CASE("checkpoints: a stop before the first step saves the start") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  {
    TinyRun tiny(folder.path(), test::tiny_config(), {.stop_requested = [] { return true; }});
    CHECK(tiny.trainer.run() == RunEnd::kStopped);
  }
  CHECK(CheckpointStore(folder / "checkpoints", 1).steps() == std::vector<int64_t>{0});
  TinyRun tiny(folder.path(), test::tiny_config());
  CHECK(tiny.trainer.resume());
  CHECK(tiny.trainer.clock().step() == 0);
}

}  // namespace
}  // namespace unireplk::train
