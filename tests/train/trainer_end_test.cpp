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
using test::Recorder;
using test::TinyRun;

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

}  // namespace
}  // namespace unireplk::train
