#include <fstream>
#include <map>
#include <stdexcept>

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

TrainConfig with_schedule(TrainConfig config, auto name, auto schedule, auto make) {
  config::Registry<MakeSchedule> schedules{"schedule"};
  schedules.add<decltype(schedule)>(name, "", make);
  config.schedule = config::Choice<MakeSchedule>::of(schedules, name, schedule);
  return config;
}

/// All files of the last checkpoint, and the metrics.
std::map<std::string, std::string> everything_in(const fs::path& folder) {
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
  {
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
    models::load_state_dict(*tiny.net, io::read_safetensors(best / (std::string(weights) + ".safetensors")).tensors,
                            {});
    const auto by_hand = evaluate(tiny.task, tiny.test_loader);
    CHECK(primary_of(*by_hand).value == primary_of(measured.results[0].metrics).value);
  }
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
  const auto before = everything_in(folder.path());
  TinyRun tiny(folder.path(), config, {.tests = true});
  CHECK(tiny.trainer.resume());
  CHECK(tiny.trainer.run() == RunEnd::kFinished);
  CHECK((everything_in(folder.path()) == before));
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
  stop.consider(value(1.95));  // both less than 0.5 below
  CHECK(stop.is_over());
  stop.consider(value(1.7));  // 0.7 below
  CHECK_FALSE(stop.is_over());
}

TEST_CASE("trainer: the average of epochs is the mean of their weights, with statistics of its own", "[numeric]") {
  const test::CapturedLog log;
  const test::TemporaryFolder folder;
  auto config = test::tiny_config();
  config.checkpoint.every_epochs = 1;
  config.checkpoint.keep = 9;
  config.weight_average = WeightAverageConfig{.from_epoch = 2, .to_epoch = 3, .statistics_batches = 4};
  TinyRun tiny(folder.path(), config, {.tests = true});
  Recorder recorder;
  tiny.trainer.observe(recorder);
  REQUIRE(tiny.trainer.run() == RunEnd::kFinished);
  const auto second = tensors_of(folder / "checkpoints/step_000000012/model.safetensors");
  const auto third = tensors_of(folder / "checkpoints/step_000000018/model.safetensors");
  const auto last = tensors_of(folder / "checkpoints/step_000000024/model.safetensors");
  const auto average = tensors_of(folder / "checkpoints/step_000000024/average.safetensors");
  CHECK_FALSE(fs::exists(folder / "checkpoints/step_000000006/average.safetensors"));
  for (const auto& [name, value] : average) {
    CAPTURE(name);
    if (name.find("running") != std::string::npos) continue;
    if (name.ends_with("num_batches_tracked")) {
      CHECK(value.equal(third.at(name)));
    } else {
      CHECK(at::allclose(value, (second.at(name) + third.at(name)) / 2, 1e-6, 1e-7));
      CHECK_FALSE(value.equal(last.at(name)));
    }
  }
  CHECK_FALSE(average.at("norm.running_mean").equal(third.at("norm.running_mean")));
  for (const auto& [name, value] : models::state_dict(*tiny.net)) CHECK(value.equal(last.at(name)));

  // The mean of the statistics of four batches, which the network's first layer alone decides.
  const auto weight = average.at("first.weight"), bias = average.at("first.bias");
  at::Tensor mean = at::zeros({8}), variance = at::zeros({8});
  tiny.loader.start(4);
  for (int i = 0; i < 4; ++i) {
    auto batch = *tiny.loader.next();
    tiny.task.prepare(batch, {}, /*training=*/false);
    const at::Tensor hidden = at::linear(batch.tensor("image").flatten(1), weight, bias);
    mean += hidden.mean(0) / 4;
    variance += hidden.var(0) / 4;
  }
  CHECK(at::allclose(average.at("norm.running_mean"), mean, 1e-5, 1e-6));
  CHECK(at::allclose(average.at("norm.running_var"), variance, 1e-5, 1e-6));

  REQUIRE(recorder.validations.size() == 5);
  CHECK(recorder.validations.back().results[0].weights == "average");
  REQUIRE(recorder.tests.size() == 1);
  CHECK(recorder.tests[0].results[1].weights == "average");
  models::load_state_dict(*tiny.net,
                          io::read_safetensors(folder / "checkpoints/step_000000024/average.safetensors").tensors, {});
  CHECK(primary_of(*evaluate(tiny.task, tiny.test_loader)).value ==
        primary_of(recorder.tests[0].results[1].metrics).value);
}

/// With everything that validations and the end of a run change.
TrainConfig full_config() {
  auto config = with_schedule(test::tiny_config(), "plateau",
                              PlateauConfig{.factor = 0.5, .patience = 0, .threshold = 0.2}, make_plateau);
  config.epochs = 3;
  config.log_every = 5;
  config.ema = EmaConfig{.decay = 0.8};
  config.early_stop = EarlyStopConfig{.patience = 2, .min_delta = 1};
  config.weight_average = WeightAverageConfig{.from_epoch = 1, .statistics_batches = 2};
  return config;
}

TEST_CASE("resume: schedule, early stop, average and test survive a stop or a death at any moment", "[numeric]") {
  const test::CapturedLog log;
  const auto config = full_config();
  std::map<std::string, std::string> expected;
  int64_t moments = 0;
  {
    const test::TemporaryFolder folder;
    TinyRun tiny(folder.path(), config, {.tests = true, .stop_requested = [&] { return ++moments, false; }});
    REQUIRE(tiny.trainer.run() == RunEnd::kFinished);
    expected = everything_in(folder.path());
    CHECK(lines_of_kind(folder.path(), "test") == 1);
  }
  CHECK(expected.contains("average.safetensors"));
  const bool dies = GENERATE(false, true);
  for (int64_t moment = 1; moment <= moments; ++moment) {
    CAPTURE(moment, dies);
    const test::TemporaryFolder folder;
    int64_t asked = 0;
    {
      TinyRun tiny(folder.path(), config, {.tests = true, .stop_requested = [&]() -> bool {
                                             if (++asked == moment && dies) throw std::runtime_error("killed");
                                             return asked == moment;
                                           }});
      if (dies) {
        CHECK_THROWS_WITH(tiny.trainer.run(), "killed");
      } else {
        CHECK(tiny.trainer.run() == RunEnd::kStopped);
      }
    }
    TinyRun tiny(folder.path(), config, {.tests = true});
    tiny.trainer.resume();
    CHECK(tiny.trainer.run() == RunEnd::kFinished);
    CHECK((everything_in(folder.path()) == expected));
  }
}

TEST_CASE("trainer: what validations decide needs validation data, an average a long enough run") {
  const test::TemporaryFolder folder;
  auto config = test::tiny_config();
  TinyRun tiny(folder.path(), config);
  config.early_stop = EarlyStopConfig{};
  CHECK_THROWS_WITH(check_trainable(config, tiny.task, 6, /*is_validated=*/false, at::kCPU),
                    Contains("train.early_stop: hears of validations, and there is no data.validation"));
  config.early_stop.reset();
  config.weight_average = WeightAverageConfig{.from_epoch = 5};
  CHECK_THROWS_WITH(check_trainable(config, tiny.task, 6, /*is_validated=*/true, at::kCPU),
                    Contains("train.weight_average.from_epoch: expected at most the 4 epochs of the run, got 5"));
  config.weight_average->from_epoch = 4;
  check_trainable(config, tiny.task, 6, /*is_validated=*/true, at::kCPU);
}

}  // namespace
}  // namespace unireplk::train
