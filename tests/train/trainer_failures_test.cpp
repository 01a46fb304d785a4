#include <cmath>
#include <limits>

#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/captured_log.h"
#include "train/tiny_run.h"
#include "unireplk/core/error.h"
#include "unireplk/io/tensor_file.h"

namespace unireplk::train {
namespace {

using Catch::Matchers::Contains;
using test::Recorder;
using test::tiny_config;
using test::TinyRun;

/// Losses that are multiplied by `factor` at one step.
test::TinyTask::ChangeLosses spoilt_at(int64_t step, double factor) {
  return [=](const tasks::Step& where, const Batch&, tasks::Losses& losses) {
    if (where.step == step) losses.total = losses.total * factor;
  };
}

TEST_CASE("trainer: a loss that is not finite ends the run and leaves earlier checkpoints good") {
  const double factor = GENERATE(std::nan(""), std::numeric_limits<double>::infinity());
  const int64_t log_every = GENERATE(1, 3, 50);
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.log_every = log_every;
  config.checkpoint.every_steps = 4;
  Recorder recorder;
  {
    TinyRun tiny(folder.path(), config, {.change_losses = spoilt_at(9, factor)});
    CHECK_THROWS_WITH(test::run(tiny, recorder),
                      Contains("step 10: the loss is ") && Contains("training has diverged") &&
                          Contains("The checkpoints written before are good. Start a new run: lower the learning rate, "
                                   "lengthen the warm-up or set "
                                   "clip_grad_norm."));
  }
  CHECK(recorder.step_numbers() == test::one_to(9));
  const auto checkpoint = CheckpointStore(folder / "checkpoints", 3).newest();
  REQUIRE(checkpoint);
  CHECK(checkpoint->step() == 8);
  const auto model = io::read_safetensors(checkpoint->folder() / "model.safetensors");
  for (const auto& [name, value] : model.tensors) CHECK(at::isfinite(value).all().item<bool>());
  TinyRun again(folder.path(), config);
  const test::CapturedLog log;
  CHECK(again.trainer.resume());
  CHECK(again.trainer.run() == RunEnd::kFinished);
}

TEST_CASE("trainer: gradients that are not finite count as divergence too") {
  const test::TemporaryFolder folder;
  const auto infinite_slope = [](const tasks::Step& where, const Batch&, tasks::Losses& losses) {
    if (where.step == 2) losses.total = losses.total.sub(losses.total.detach()).sqrt();  // 0, with infinite slope
  };
  TinyRun tiny(folder.path(), tiny_config(), {.change_losses = infinite_slope});
  Recorder recorder;
  CHECK_THROWS_WITH(test::run(tiny, recorder), Contains("step 3: the loss is 0, the gradient norm "));
  CHECK(recorder.step_numbers() == test::one_to(2));
}

TEST_CASE("trainer: bad samples are replaced up to the bound, and end the run beyond it") {
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.checkpoint.every_steps = 1;
  {
    TinyRun tiny(folder.path(), config, {.bad = {3, 17}});
    const test::CapturedLog log;
    CHECK(tiny.trainer.run() == RunEnd::kFinished);
    CHECK(tiny.trainer.clock().samples() == 24 * TinyRun::kBatchSize);
    CHECK_THAT(log.text(), Contains("dot3.png: truncated") && Contains("dot17.png: truncated"));
    CHECK(tiny.loader.bad().count == 2);  // of the last epoch
  }
  const test::TemporaryFolder other;
  Recorder recorder;
  TinyRun tiny(other.path(), config, {.bad = {3, 17}, .max_bad_fraction = 0.05});
  CHECK_THROWS_WITH(test::run(tiny, recorder), Contains("data.loader.max_bad_fraction: 2 of the 24 samples"));
  const auto checkpoint = CheckpointStore(other / "checkpoints", 3).newest();
  CHECK(static_cast<size_t>(checkpoint ? checkpoint->step() : 0) == recorder.steps.size());
}

}  // namespace
}  // namespace unireplk::train
