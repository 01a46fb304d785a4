#include <fstream>
#include <map>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/core/error.h"
#include "unireplk/io/files.h"
#include "unireplk/io/tensor_file.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/train/evaluate.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::Recorder;
using test::TinyRun;

/// All files of the last checkpoint, and the metrics.
std::map<std::string, std::string> outcome(const fs::path& folder) {
  std::map<std::string, std::string> files{{"metrics", io::read_file(folder / "metrics.jsonl")}};
  const auto latest = CheckpointStore(folder / "checkpoints", 1).pointed("latest");
  REQUIRE(latest);
  for (const auto& entry : fs::directory_iterator(*latest)) {
    files[entry.path().filename()] = io::read_file(entry.path());
  }
  return files;
}

int64_t lines_of_kind(const fs::path& folder, const std::string& kind) {
  std::ifstream file(folder / "metrics.jsonl");
  int64_t count = 0;
  for (std::string line; std::getline(file, line);) count += line.starts_with("{\"kind\":\"" + kind + '"');
  return count;
}

std::map<std::string, at::Tensor> tensors_of(const fs::path& file) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, value] : io::read_safetensors(file).tensors) tensors[name] = value;
  return tensors;
}

TEST_CASE("trainer: the best weights are measured on the test data, once", "[numeric]") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  auto config = test::tiny_config();
  if (GENERATE(false, true)) config.ema = EmaConfig{.decay = 0.9};
  const char* weights = config.ema ? "ema" : "model";
  TinyRun tiny(folder.path(), config, {.tests = true});
  Recorder recorder;
  tiny.trainer.observe(recorder);
  REQUIRE(tiny.trainer.run() == RunEnd::kFinished);
  REQUIRE(recorder.tests.size() == 1);
  const auto& measured = recorder.tests[0];
  CHECK(measured.step == tiny.trainer.best().step());
  CHECK(measured.epoch == (measured.step - 1) / 6);
  REQUIRE(measured.results.size() == 1);
  CHECK(measured.results[0].weights == weights);
  CHECK(lines_of_kind(folder.path(), "test") == 1);
  CHECK(lines_of_kind(folder.path(), "validation") == 4);

  const auto last = tensors_of(folder / "checkpoints/step_000000024/model.safetensors");
  for (const auto& [name, value] : models::state_dict(*tiny.net)) CHECK(value.equal(last.at(name)));
  const auto best = *CheckpointStore(folder / "checkpoints", 1).pointed("best");
  models::load_state_dict(*tiny.net, io::read_safetensors(best / (std::string(weights) + ".safetensors")).tensors, {});
  const auto by_hand = evaluate(tiny.task, tiny.test_loader);
  CHECK(primary_of(*by_hand).value == primary_of(measured.results[0].metrics).value);

  TinyRun again(folder.path(), config, {.tests = true});
  Recorder later;
  again.trainer.observe(later);
  CHECK(again.trainer.resume());
  CHECK(again.trainer.run() == RunEnd::kFinished);
  CHECK((later.tests.empty() && later.validations.empty() && later.steps.empty()));
  CHECK(lines_of_kind(folder.path(), "test") == 1);
}

TEST_CASE("trainer: without validation the last weights are tested") {
  const test::TemporaryFolder folder;
  TinyRun tiny(folder.path(), test::tiny_config(), {.validates = false, .tests = true});
  Recorder recorder;
  test::run(tiny, recorder);
  REQUIRE(recorder.tests.size() == 1);
  CHECK(recorder.tests[0].step == 24);
  CHECK(primary_of(*evaluate(tiny.task, tiny.test_loader)).value ==
        primary_of(recorder.tests[0].results[0].metrics).value);
}

TEST_CASE("trainer: an early stop ends the run, and for good", "[numeric]") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  auto config = test::tiny_config();
  config.epochs = 9;
  config.early_stop = EarlyStopConfig{.patience = 2, .min_delta = 101};  // percent: nothing is better by so much
  Recorder recorder;
  {
    TinyRun tiny(folder.path(), config, {.tests = true});
    tiny.trainer.observe(recorder);
    CHECK(tiny.trainer.run() == RunEnd::kFinished);
    CHECK(tiny.trainer.clock().step() == 18);
  }
  CHECK(recorder.validations.size() == 3);
  REQUIRE(recorder.tests.size() == 1);
  CHECK(recorder.tests[0].step <= 18);
  CHECK_THAT(log.text(), Contains("early stop after 2 validations without a better top1"));
  const auto before = outcome(folder.path());
  TinyRun tiny(folder.path(), config, {.tests = true});
  CHECK(tiny.trainer.resume());
  CHECK(tiny.trainer.run() == RunEnd::kFinished);
  CHECK((outcome(folder.path()) == before));
}

TEST_CASE("trainer: while the metric gets better there is no early stop") {
  const test::TemporaryFolder folder;
  auto config = test::tiny_config();
  config.early_stop = EarlyStopConfig{.patience = 4};
  TinyRun tiny(folder.path(), config);
  Recorder recorder;
  test::run(tiny, recorder);
  CHECK(recorder.steps.size() == 24);
}

TEST_CASE("early stop: a gain below min_delta is none") {
  EarlyStop stop({.patience = 2, .min_delta = 0.5});
  const auto value = [](double v) {
    return tasks::Metric{.name = "loss", .value = v, .unit = "", .higher_is_better = false, .primary = true};
  };
  for (const double v : {3.0, 2.6}) stop.consider(value(v));
  CHECK_FALSE(stop.is_over());
  stop.consider(value(2.4));  // 0.6 below the best
  stop.consider(value(2.0));
  CHECK_FALSE(stop.is_over());
  stop.consider(value(1.95));
  CHECK_FALSE(stop.is_over());
  stop.consider(value(1.7));  // 0.7 below
  CHECK_FALSE(stop.is_over());
}

TEST_CASE("trainer: an early stop needs validation data") {
  const test::TemporaryFolder folder;
  auto config = test::tiny_config();
  TinyRun tiny(folder.path(), config);
  config.early_stop = EarlyStopConfig{};
  CHECK_THROWS_WITH(check_trainable(config, tiny.task, 6, /*is_validated=*/false),
                    Contains("train.early_stop: hears of validations, and there is no data.validation"));
}

}  // namespace
}  // namespace unireplk::train
