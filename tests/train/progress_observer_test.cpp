#include "unireplk/train/progress_observer.h"

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"

namespace unireplk::train {
namespace {

TEST_CASE("progress: a line of log for each set of weights of a validation") {
  const test::TemporaryFolder folder;
  test::TinyRun tiny(folder.path());
  ProgressObserver progress(tiny.trainer.clock(), tiny.loader);
  const auto metrics = [](double top1) {
    return std::vector<tasks::Metric>{{.name = "top1", .value = top1, .unit = "%"},
                                      {.name = "loss", .value = 2.0, .unit = ""}};
  };
  const test::CapturedLog log;
  progress.on_validation({.step = 312, .epoch = 0, .results = {{"model", metrics(41.25)}, {"ema", metrics(100)}}});
  CHECK_THAT(log.text(), Catch::Contains("epoch 1, step 312, model:  top1 41.25%  loss 2\n") &&
                             Catch::Contains("epoch 1, step 312, ema:  top1 100%  loss 2\n"));
}

}  // namespace
}  // namespace unireplk::train
