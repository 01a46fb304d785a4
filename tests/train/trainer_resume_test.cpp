#include <fstream>
#include <map>
#include <stdexcept>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/core/error.h"
#include "unireplk/io/files.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::Recorder;
using test::TinyRun;

/// Twelve steps in epochs of six micro-batches, with an average, read every fifth step.
TrainConfig config_of(std::optional<int64_t> every_steps = {}, int64_t accumulate_steps = 1) {
  auto config = test::tiny_config();
  config.epochs = 2 * accumulate_steps;
  config.accumulate_steps = accumulate_steps;
  config.ema = EmaConfig{.decay = 0.9};
  config.clip_grad_norm = 1.0;
  config.log_every = 5;
  config.checkpoint.every_steps = every_steps;
  return config;
}

/// Files of the last and the best checkpoint, and the metrics.
std::map<std::string, std::string> outcome(const fs::path& folder) {
  std::map<std::string, std::string> files{{"metrics", io::read_file(folder / "metrics.jsonl")}};
  const CheckpointStore store(folder / "checkpoints", 1);
  for (const char* pointer : {"latest", "best"}) {
    const auto checkpoint = store.pointed(pointer);
    REQUIRE(checkpoint);
    files[pointer] = checkpoint->filename();
    for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"}) {
      files[std::string(pointer) + '/' + name] = io::read_file(*checkpoint / name);
    }
  }
  return files;
}

void check_equal(const std::map<std::string, std::string>& actual, const std::map<std::string, std::string>& expected) {
  for (const auto& [name, bytes] : expected) {
    INFO(name);
    CHECK((actual.at(name) == bytes));
  }
}

/// The outcome of a run that nothing interrupts.
std::map<std::string, std::string> unbroken(const TrainConfig& config) {
  const test::TemporaryFolder folder;
  TinyRun tiny(folder.path(), config);
  REQUIRE(tiny.trainer.run() == RunEnd::kFinished);
  return outcome(folder.path());
}

/// How often a run asks whether it should stop.
int64_t questions(const TrainConfig& config) {
  const test::TemporaryFolder folder;
  int64_t count = 0;
  TinyRun tiny(folder.path(), config, {.stop_requested = [&] { return ++count, false; }});
  tiny.trainer.run();
  return count;
}

RunEnd resume(const fs::path& folder, const TrainConfig& config) {
  TinyRun tiny(folder, config);
  tiny.trainer.resume();
  return tiny.trainer.run();
}

TEST_CASE("resume: a stop at any moment leaves the bits of the unbroken run", "[numeric]") {
  const test::CapturedLog log;
  const int64_t accumulate_steps = GENERATE(1, 2);
  const auto config = config_of({}, accumulate_steps);
  const auto expected = unbroken(config);
  const int64_t moments = questions(config);
  REQUIRE(moments == 12 + *config.epochs * 2 * 3);  // before each step; each epoch, both weights, each batch
  for (int64_t moment = 1; moment <= moments; ++moment) {
    CAPTURE(moment);
    const test::TemporaryFolder folder;
    int64_t asked = 0;
    {
      TinyRun tiny(folder.path(), config, {.stop_requested = [&] { return ++asked == moment; }});
      CHECK(tiny.trainer.run() == RunEnd::kStopped);
      CHECK(CheckpointStore(folder / "checkpoints", 3).newest()->step() == tiny.trainer.clock().step());
    }
    CHECK(resume(folder.path(), config) == RunEnd::kFinished);
    check_equal(outcome(folder.path()), expected);
  }
}

TEST_CASE("resume: a run stopped at every step leaves the bits of the unbroken run", "[numeric]") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  int64_t runs = 1;
  for (RunEnd end = RunEnd::kStopped; end == RunEnd::kStopped; ++runs) {
    int64_t asked = 0;
    TinyRun tiny(folder.path(), config_of(), {.stop_requested = [&] { return ++asked == 8; }});
    tiny.trainer.resume();
    end = tiny.trainer.run();
    REQUIRE(runs < 20);
  }
  CHECK(runs > 3);
  check_equal(outcome(folder.path()), unbroken(config_of()));
}

TEST_CASE("resume: a death at any moment leaves the bits of the unbroken run", "[numeric]") {
  const test::CapturedLog log;
  const auto config = config_of(/*every_steps=*/4);
  const auto expected = unbroken(config);
  const int64_t moments = questions(config);
  for (int64_t moment = 1; moment <= moments; ++moment) {
    CAPTURE(moment);
    const test::TemporaryFolder folder;
    int64_t asked = 0;
    {
      TinyRun tiny(folder.path(), config, {.stop_requested = [&]() -> bool {
                     if (++asked == moment) throw std::runtime_error("killed");
                     return false;
                   }});
      CHECK_THROWS_WITH(tiny.trainer.run(), "killed");
    }
    CHECK(resume(folder.path(), config) == RunEnd::kFinished);
    check_equal(outcome(folder.path()), expected);
  }
}

TEST_CASE("resume: a run without a checkpoint starts anew, its curves too") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  auto config = config_of();
  config.log_every = 1;
  int64_t asked = 0;
  {
    TinyRun tiny(folder.path(), config, {.stop_requested = [&]() -> bool {
                   if (++asked == 4) throw std::runtime_error("killed");
                   return false;
                 }});
    CHECK_THROWS_WITH(tiny.trainer.run(), "killed");
  }
  TinyRun tiny(folder.path(), config);
  CHECK_FALSE(tiny.trainer.resume());
  CHECK(tiny.trainer.clock().step() == 0);
  tiny.trainer.run();
  check_equal(outcome(folder.path()), unbroken(config));
}

TEST_CASE("resume: a damaged checkpoint is skipped for the one before", "[numeric]") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  const auto config = config_of(/*every_steps=*/2);
  int64_t asked = 0;
  {
    TinyRun tiny(folder.path(), config, {.stop_requested = [&] { return ++asked == 6; }});
    tiny.trainer.run();
  }
  fs::resize_file(folder / "checkpoints/step_000000005/optimizer.safetensors", 100);
  {
    TinyRun tiny(folder.path(), config);
    CHECK(tiny.trainer.resume());
    CHECK(tiny.trainer.clock().step() == 4);
    CHECK_THAT(log.text(), Contains("step_000000005/optimizer.safetensors: expected") &&
                               Contains("step_000000004: epoch 1, step 4 of 12"));
    tiny.trainer.run();
  }
  check_equal(outcome(folder.path()), unbroken(config));
}

TEST_CASE("resume: observers hear of later steps alone") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  int64_t asked = 0;
  Recorder first, second;
  {
    TinyRun tiny(folder.path(), config_of(), {.stop_requested = [&] { return ++asked == 5; }});
    tiny.trainer.observe(first);
    tiny.trainer.run();
  }
  TinyRun tiny(folder.path(), config_of());
  tiny.trainer.observe(second);
  tiny.trainer.resume();
  tiny.trainer.run();
  REQUIRE(first.steps.size() == 4);
  REQUIRE(second.steps.size() == 8);
  CHECK((first.steps.back().step == 4 && second.steps.front().step == 5 && second.steps.back().step == 12));
  CHECK(second.validations.size() == 2);
}

TEST_CASE("resume: a finished run stays as it is") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  auto config = config_of();
  config.max_steps = GENERATE(7, 12);
  { CHECK(resume(folder.path(), config) == RunEnd::kFinished); }
  const auto before = outcome(folder.path());
  TinyRun tiny(folder.path(), config);
  Recorder recorder;
  tiny.trainer.observe(recorder);
  CHECK(tiny.trainer.resume());
  CHECK(tiny.trainer.run() == RunEnd::kFinished);
  CHECK(recorder.steps.empty());
  CHECK(recorder.validations.empty());
  check_equal(outcome(folder.path()), before);
}

TEST_CASE("resume: the best so far is remembered") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  resume(folder.path(), config_of());
  TinyRun tiny(folder.path(), config_of());
  CHECK(tiny.trainer.best().step() == -1);
  tiny.trainer.resume();
  CHECK(tiny.trainer.best().step() > 0);
  CHECK(tiny.trainer.best().value() > 0);
}

TEST_CASE("resume: other data or another set of parts is refused") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  auto config = config_of();
  config.ema.reset();
  resume(folder.path(), config);
  {
    TinyRun tiny(folder.path(), config, {.items = 28});
    CHECK_THROWS_WITH(tiny.trainer.resume(), Contains("resume: an epoch had 6 steps, now it has 7"));
  }
  TinyRun tiny(folder.path(), config_of());
  CHECK_THROWS_WITH(tiny.trainer.resume(), Contains("holds no state of \"ema\""));
}

}  // namespace
}  // namespace unireplk::train
