#include "unireplk/tensor/out_of_memory.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <map>
#include <new>
#include <nlohmann/json.hpp>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/core/error.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::TinyRun;

void throw_as_cuda_does() {
  TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate 2.00 GiB.");
}

TrainConfig halving(int64_t accumulate_steps = 1) {
  auto config = test::tiny_config();
  config.halve_on_out_of_memory = true;
  config.accumulate_steps = accumulate_steps;
  config.ema = EmaConfig{.decay = 0.9};
  return config;
}

/// A device that holds batches of `most` samples from step `first` on, counted from 1. The forward pass has been made
/// by then, and has changed running statistics.
test::TinyTask::ChangeLosses small_device(int64_t most, int64_t first = 1, int64_t first_micro_step = 0) {
  return [=](const tasks::Step& where, const Batch& batch, tasks::Losses&) {
    if (where.step + 1 >= first && where.micro_step >= first_micro_step && batch.size() > most) throw_as_cuda_does();
  };
}

/// The last checkpoint, but for the number of pieces, and the metrics.
std::map<std::string, std::string> outcome_of(const fs::path& folder) {
  std::map<std::string, std::string> files{{"metrics", test::content(folder / "metrics.jsonl")}};
  const auto checkpoint = CheckpointStore(folder / "checkpoints", 1).pointed("latest");
  REQUIRE(checkpoint);
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "data.safetensors"}) {
    files[name] = test::content(*checkpoint / name);
  }
  auto state = nlohmann::json::parse(test::content(*checkpoint / "state.json")).at("checkpoint").at("state");
  CHECK(state.at("data").erase("pieces") == 1);
  files["state"] = state.dump();
  return files;
}

void check_same_training(const fs::path& actual, const fs::path& expected) {
  const auto files = outcome_of(actual);
  for (const auto& [name, bytes] : outcome_of(expected)) {
    INFO(name);
    CHECK((files.at(name) == bytes));
  }
}

/// Train from what the folder holds to the end, or until `last` steps are done.
void train(const fs::path& folder, const TrainConfig& config, test::TinySetting setting, int64_t last = 1000) {
  const TinyRun* running = nullptr;
  setting.stop_requested = [&] { return running && running->trainer.clock().step() >= last; };
  TinyRun tiny(folder, config, setting);
  running = &tiny;
  tiny.trainer.resume();
  tiny.trainer.run();
}

TEST_CASE("out of memory: halves make the bits of a run with batches as small", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  train(folder.path(), halving(), {.bad = {3, 7}, .change_losses = small_device(2)});
  CHECK_THAT(log.text(), Contains("step 1: a micro-batch of 4 samples does not fit into memory (CUDA out of memory. "
                                  "Tried to allocate 2.00 GiB): from here on a step takes 2 of 2"));
  train(reference.path(), halving(2), {.batch_size = 2, .bad = {3, 7}});
  check_same_training(folder.path(), reference.path());
}

TEST_CASE("out of memory: a step that has begun is made anew, and later ones as small", "[numeric]") {
  // Steps of two batches of 4; that of step 5 fails in its second batch.
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  train(folder.path(), halving(2), {.bad = {5}, .change_losses = small_device(2, 5, 1)});
  CHECK_THAT(log.text(), Contains("step 5: a micro-batch of 4 samples") && Contains("a step takes 4 of 2"));
  train(reference.path(), halving(2), {.bad = {5}}, /*last=*/4);
  train(reference.path(), halving(4), {.batch_size = 2, .bad = {5}});
  check_same_training(folder.path(), reference.path());
}

TEST_CASE("out of memory: a resumed run keeps to halves, to the same bits", "[numeric]") {
  const test::TemporaryFolder whole, pieces;
  const test::CapturedLog log;
  train(whole.path(), halving(), {.change_losses = small_device(2, 3)});
  train(pieces.path(), halving(), {.change_losses = small_device(2, 3)}, /*last=*/7);
  int64_t largest = 0;
  const auto measure = [&](const tasks::Step&, const Batch& batch, tasks::Losses&) {
    largest = std::max(largest, batch.size());
  };
  train(pieces.path(), halving(), {.change_losses = measure});
  CHECK(largest == 2);
  check_same_training(pieces.path(), whole.path());
}

TEST_CASE("out of memory: without the key the run ends, and goes on with it", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  auto config = halving();
  config.checkpoint.every_steps = 4;
  const auto setting = test::TinySetting{.change_losses = small_device(2, 6)};
  train(reference.path(), config, setting);
  config.halve_on_out_of_memory = false;
  CHECK_THROWS_WITH(train(folder.path(), config, setting),
                    Contains("step 6: out of memory, in fp32") &&
                        Contains("The checkpoints written before are good.") &&
                        Contains("Go on with --resume train.halve_on_out_of_memory=true"));
  CHECK_THAT(log.text(), Contains("the newest checkpoint is that of step 4"));
  config.halve_on_out_of_memory = true;
  train(folder.path(), config, setting);
  check_same_training(folder.path(), reference.path());
}

TEST_CASE("out of memory: samples that are mixed two by two stay together") {
  const test::TemporaryFolder folder;
  const test::CapturedLog log;
  CHECK_THROWS_WITH(train(folder.path(), halving(), {.batch_multiple = 2, .change_losses = small_device(1)}),
                    Contains("step 1: out of memory, in fp32: CUDA out of memory. Tried to allocate 2.00 GiB. The ") &&
                        Contains("good. Start anew: halve data.loader.batch_size and double train.accumulate_steps, "
                                 "set model.backbone.checkpointing: true or train.precision: bf16"));
  CHECK_THAT(log.text(), Contains("a step takes 2 of 2"));
}

TEST_CASE("out of memory: a validation tells it too, and other errors stay what they are") {
  const test::TemporaryFolder folder, other;
  const test::CapturedLog log;
  TinyRun broken(other.path(), halving(), {.change_losses = [](const tasks::Step&, const Batch&, tasks::Losses&) {
                   TORCH_CHECK(false, "no such kernel");
                 }});
  CHECK_THROWS_AS(broken.trainer.run(), c10::Error);
  struct Failing : Observer {
    void on_validation(const ValidationRecord&) override { throw std::bad_alloc(); }
  } failing;
  TinyRun tiny(folder.path(), halving());
  tiny.trainer.observe(failing);
  CHECK_THROWS_WITH(tiny.trainer.run(), Contains("after step 6: out of memory, in fp32: ") && Contains("Start anew: "));
}

TEST_CASE("out of memory: what allocators throw is told from other errors") {
  const auto is_known = [](const std::function<void()>& fail) {
    try {
      fail();
    } catch (const std::exception& error) {
      return is_out_of_memory(error);
    }
    FAIL("nothing was thrown");
    return false;
  };
  CHECK(is_known([] { at::empty({int64_t{1} << 50}); }));  // LibTorch's on the CPU
  CHECK(is_known([] { throw std::bad_alloc(); }));
  CHECK(is_known(throw_as_cuda_does));
  CHECK(is_known([] { TORCH_CHECK(false, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"); }));
  for (const char* place : {"HOST", "DEVICE"}) {  // as cuDNN 9 has it
    CHECK(is_known(
        [&] { TORCH_CHECK(false, "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_", place, "_ALLOCATION_FAILED"); }));
  }
  CHECK(!is_known([] { TORCH_CHECK(false, "CUDA error: an illegal memory access was encountered"); }));
  CHECK(!is_known([] { throw std::runtime_error("out of memory"); }));
}

}  // namespace
}  // namespace unireplk::train
