#include "unireplk/train/precision.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/io/state_file.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/train/evaluate.h"
#include "unireplk/train/loss_scale.h"

namespace unireplk::train {
namespace {

using Catch::Matchers::Contains;
using test::Recorder;
using test::tiny_config;
using test::TinyRun;
using test::TinyTask;

TrainConfig config_in(Precision precision) {
  auto config = tiny_config();
  config.precision = precision;
  config.ema = EmaConfig{.decay = 0.9};
  return config;
}

/// Losses of all steps [first, last], counted from 1, that are larger than gradients in fp16 bear.
TinyTask::ChangeLosses lifted(int64_t first, int64_t last, double factor = 1e4) {
  return [=](const tasks::Step& where, const Batch&, tasks::Losses& losses) {
    if (where.step + 1 >= first && where.step + 1 <= last) losses.total = losses.total * factor;
  };
}

std::vector<double> losses_of(const Recorder& recorder) {
  std::vector<double> losses;
  for (const auto& record : recorder.steps) losses.push_back(record.loss);
  return losses;
}

TEST_CASE("precision: mixed runs come close to float32, which they are not", "[numeric]") {
  const test::TemporaryFolder plain_folder, mixed_folder;
  TinyRun plain(plain_folder.path(), config_in(Precision::kFp32));
  TinyRun mixed(mixed_folder.path(), config_in(GENERATE(Precision::kBf16, Precision::kFp16)));
  Recorder of_plain, of_mixed;
  CHECK(test::run(plain, of_plain) == RunEnd::kFinished);
  CHECK(test::run(mixed, of_mixed) == RunEnd::kFinished);
  const auto expected = losses_of(of_plain), got = losses_of(of_mixed);
  CHECK(got != expected);
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < 6; ++i) CHECK(got[i] == Approx(expected[i]).margin(0.05));
  for (const auto& [name, value] : models::state_dict(*mixed.net)) {
    CAPTURE(name);
    CHECK((value.scalar_type() == at::kFloat || name.ends_with("num_batches_tracked")));
  }
}

TEST_CASE("precision: validation runs in the precision of training") {
  const test::TemporaryFolder folder;
  TinyRun tiny(folder.path(), config_in(Precision::kFp32));
  const at::Device cpu(at::kCPU);
  const auto loss_in = [&](Precision precision) {
    return evaluate(tiny.task, tiny.validation_loader, autocast_for(precision, cpu))->at(2).value;
  };
  CHECK(loss_in(Precision::kFp32) == evaluate(tiny.task, tiny.validation_loader)->at(2).value);
  CHECK(loss_in(Precision::kBf16) != loss_in(Precision::kFp32));
  CHECK(loss_in(Precision::kBf16) == Approx(loss_in(Precision::kFp32)).margin(0.02));
}

TEST_CASE("precision: fp16 finds its loss scale by steps that overflow, and they do not count as a divergence") {
  const test::TemporaryFolder folder;
  auto config = config_in(Precision::kFp16);
  config.guard.max_skipped = 0;
  TinyRun tiny(folder.path(), config, {.change_losses = lifted(3, 1000)});
  Recorder recorder;
  const test::CapturedLog log;
  tiny.trainer.observe(recorder);
  CHECK(tiny.trainer.run() == RunEnd::kFinished);
  int64_t skipped = 0;
  double scale = LossScaleOptions{}.initial;
  for (const auto& record : recorder.steps) {
    CAPTURE(record.step);
    REQUIRE(record.loss_scale);
    CHECK(*record.loss_scale == scale);
    CHECK(record.is_sound() != record.is_overflow());
    if (record.is_overflow()) {
      scale /= 2;
      ++skipped;
    }
  }
  CHECK(recorder.steps[0].is_sound());
  CHECK(recorder.steps[2].is_overflow());
  CHECK(skipped >= 3);
  CHECK(recorder.steps.back().is_sound());
  CHECK_THAT(log.text(), Contains("step 3: a gradient overflowed fp16: skipped, the loss scale falls from 65536"));
  for (const auto& [name, value] : models::state_dict(*tiny.net)) CHECK(at::isfinite(value).all().item<bool>());
}

TEST_CASE("precision: a loss that is not finite is a divergence in fp16 too") {
  const test::TemporaryFolder folder;
  auto config = config_in(Precision::kFp16);
  config.guard.max_skipped = 1;
  TinyRun tiny(folder.path(), config, {.change_losses = lifted(5, 1000, std::nan(""))});
  Recorder recorder;
  CHECK_THROWS_WITH(test::run(tiny, recorder), Contains("step 6: the loss is nan"));
}

TEST_CASE("precision: mixed runs resume to the bit") {
  const auto config = config_in(GENERATE(Precision::kBf16, Precision::kFp16));
  const test::TemporaryFolder whole, pieces;
  TinyRun unbroken(whole.path(), config, {.change_losses = lifted(3, 6)});
  Recorder of_whole, of_start, of_end;
  CHECK(test::run(unbroken, of_whole) == RunEnd::kFinished);
  {
    const TinyRun* running = nullptr;
    TinyRun first(pieces.path(), config,
                  {.stop_requested = [&] { return running && running->trainer.clock().step() == 8; },
                   .change_losses = lifted(3, 6)});
    running = &first;
    CHECK(test::run(first, of_start) == RunEnd::kStopped);
  }
  TinyRun second(pieces.path(), config, {.change_losses = lifted(3, 6)});
  {
    const test::CapturedLog log;
    CHECK(second.trainer.resume());
  }
  CHECK(test::run(second, of_end) == RunEnd::kFinished);
  CHECK(of_end.steps.front().loss_scale == of_whole.steps[8].loss_scale);
  const auto ends = losses_of(of_end), all = losses_of(of_whole);
  CHECK(ends == std::vector<double>(all.begin() + 8, all.end()));
  const auto expected = models::state_dict(*unbroken.net), got = models::state_dict(*second.net);
  for (size_t i = 0; i < expected.size(); ++i) CHECK(got[i].second.equal(expected[i].second));
}

TEST_CASE("precision: the network trains in bf16 and fp16, close to float32", "[numeric]") {
  const bool is_half = GENERATE(false, true);
  auto options = models::variant_options("unireplknet_a");
  options.num_classes = 5;
  at::manual_seed(4);
  const auto x = at::randn({2, 3, 64, 64});
  const auto labels = at::arange(2);
  const auto gradients_in = [&](Precision precision) {
    models::UniRepLKNet network(options);
    models::initialise(*network, at::detail::createCPUGenerator(3));
    at::Tensor loss;
    {
      const AutocastGuard guard(autocast_for(precision, at::kCPU));
      loss = tasks::label_cross_entropy(network->forward(x), labels, 0.1);
    }
    CHECK(loss.scalar_type() == at::kFloat);
    loss.backward();
    return std::pair(loss.item<double>(), network->head->weight.grad().clone());
  };
  const auto [loss, gradient] = gradients_in(Precision::kFp32);
  const auto [mixed_loss, mixed_gradient] = gradients_in(is_half ? Precision::kFp16 : Precision::kBf16);
  const double tolerance = is_half ? 5e-3 : 4e-2;  // 2^-11 and 2^-8 a step, through some twenty
  CHECK(mixed_loss != loss);
  CHECK(mixed_loss == Approx(loss).epsilon(tolerance));
  CHECK((mixed_gradient - gradient).norm().item<double>() <= tolerance * gradient.norm().item<double>());
}

TEST_CASE("loss scale: halves at once, doubles after a run of good steps") {
  LossScale scale(at::kCPU, {.initial = 8, .growth_interval = 3});
  const auto after = [&](std::initializer_list<float> skipped) {
    for (const float skip : skipped) scale.update(at::full({}, skip));
    return scale.value().item<double>();
  };
  CHECK(after({0, 0}) == 8);
  CHECK(after({0}) == 16);
  CHECK(after({0, 0, 1}) == 8);
  CHECK(after({0, 0}) == 8);
  io::StateBuffer state;
  scale.save(state);
  CHECK(after({0}) == 16);
  scale.load(state);
  CHECK(scale.value().item<double>() == 8);
  CHECK(after({0}) == 16);
}

TEST_CASE("loss scale: the gradients are those of the loss itself") {
  const LossScale scale(at::kCPU, {.initial = 1024});
  const auto x = at::full({3}, 0.37f).requires_grad_();
  scale.scaled(x.square().sum()).backward();
  scale.unscale({x.grad()});
  CHECK(x.grad().equal(2 * x.detach()));
}

}  // namespace
}  // namespace unireplk::train
