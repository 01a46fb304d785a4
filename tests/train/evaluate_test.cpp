#include "unireplk/train/evaluate.h"

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/core/error.h"

namespace unireplk::train {
namespace {

/// The tiny network's metrics on `size` dots, some of them bad, measured twice.
std::vector<std::vector<tasks::Metric>> measured(int64_t size, std::set<int64_t> bad, int64_t batch_size) {
  const auto dataset =
      data::make_dataset(std::make_shared<test::Dots>(size, std::move(bad)), std::make_shared<test::Noise>());
  const auto sampler = data::sequential_sampler(size, batch_size);
  data::Loader loader(dataset, *sampler, data::Mode::kEvaluation, {.batch_size = batch_size, .workers = 0}, {});
  test::TinyTask task(std::make_shared<test::TinyNetImpl>(), dataset.info, {});
  return {*evaluate(task, loader), *evaluate(task, loader)};
}

TEST_CASE("evaluate: the same metrics for any batch size, and again", "[numeric]") {
  const auto expected = measured(11, {}, 11)[0];
  for (const int64_t batch_size : {1, 2, 4, 10}) {
    for (const auto& metrics : measured(11, {}, batch_size)) {
      CHECK(metrics[0].value == expected[0].value);
      CHECK(metrics[2].value == Approx(expected[2].value).epsilon(1e-6));  // logits in float32
    }
  }
}

TEST_CASE("evaluate: bad samples are left out, with a warning", "[numeric]") {
  const test::CapturedLog log;
  const auto metrics = measured(11, {9, 10}, 4)[0];
  CHECK_THAT(log.text(), Catch::Contains("metrics leave out 2 of 11 samples that could not be read, first dot9.png"));
  const auto expected = measured(9, {}, 4)[0];
  CHECK(metrics[0].value == expected[0].value);
  CHECK(metrics[2].value == Approx(expected[2].value).epsilon(1e-12));
}

TEST_CASE("evaluate: gives up when asked to stop, and leaves the network's mode alone") {
  const test::TemporaryFolder folder;
  test::TinyRun tiny(folder.path());
  const bool training = GENERATE(true, false);
  tiny.net->train(training);
  int64_t asked = 0;
  CHECK_FALSE(evaluate(tiny.task, tiny.validation_loader, {}, [&] {
    CHECK_FALSE(tiny.net->is_training());  // between batches too, or what a network caches would be lost
    return ++asked == 2;
  }));
  CHECK(asked == 2);
  CHECK(tiny.net->is_training() == training);
  const auto before = tiny.net->norm->running_mean.clone();
  CHECK(evaluate(tiny.task, tiny.validation_loader, {}, [] { return false; }));
  CHECK(tiny.net->norm->running_mean.equal(before));
  CHECK(tiny.net->is_training() == training);
}

}  // namespace
}  // namespace unireplk::train
