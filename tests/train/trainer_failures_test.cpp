#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/core/error.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/models/unireplknet.h"

namespace unireplk::train {
namespace {

using Catch::Matchers::Contains;
using test::Recorder;
using test::tiny_config;
using test::TinyRun;

/// Losses that are multiplied by `factor` in steps [first, last], counted from 1.
test::TinyTask::ChangeLosses spoilt(int64_t first, int64_t last, double factor = std::nan("")) {
  return [=](const tasks::Step& where, const Batch&, tasks::Losses& losses) {
    if (where.step + 1 >= first && where.step + 1 <= last) losses.total = losses.total * factor;
  };
}

/// The tiny config with a guard, a checkpoint every fourth step.
TrainConfig guarded(const GuardConfig& guard, int64_t log_every = 50) {
  auto config = tiny_config();
  config.guard = guard;
  config.log_every = log_every;
  config.checkpoint.every_steps = 4;
  return config;
}

std::map<std::string, at::Tensor> state_of(TinyRun& tiny) {
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, value] : models::state_dict(*tiny.net)) state[name] = value.detach().clone();
  return state;
}

bool is_finite(const std::map<std::string, at::Tensor>& state) {
  return std::ranges::all_of(state,
                             [](const auto& entry) { return at::isfinite(entry.second).all().template item<bool>(); });
}

std::vector<int64_t> unsound_steps(const Recorder& recorder) {
  std::vector<int64_t> steps;
  for (const auto& record : recorder.steps) {
    if (!record.is_sound()) steps.push_back(record.step);
  }
  return steps;
}

TEST_CASE("trainer: a step whose loss is not finite changes nothing, and the run goes on") {
  const double factor = GENERATE(std::nan(""), std::numeric_limits<double>::infinity());
  const int64_t log_every = GENERATE(1, 3, 50);
  const test::TemporaryFolder folder;
  TinyRun tiny(folder.path(), guarded({}, log_every), {.change_losses = spoilt(9, 11, factor)});
  Recorder recorder;
  CHECK(test::run(tiny, recorder) == RunEnd::kFinished);
  CHECK(recorder.step_numbers() == test::one_to(24));
  CHECK(unsound_steps(recorder) == std::vector<int64_t>{9, 10, 11});
  const auto state = state_of(tiny);
  CHECK(is_finite(state));
  CHECK(state.at("norm.num_batches_tracked").item<int64_t>() == 21);
}

TEST_CASE("trainer: what a skipped step has seen leaves no trace in the statistics") {
  // The images of step 2 are not finite themselves, and would be in the running means for ever.
  const test::TemporaryFolder folder;
  TinyRun tiny(folder.path(), guarded({}));
  const test::CapturedLog log;
  tiny.task.change_batch = [](const tasks::Step& step, Batch& batch) {
    if (step.step == 1) batch.fields["image"] = at::full_like(batch.tensor("image"), std::nan(""));
  };
  CHECK(tiny.trainer.run() == RunEnd::kFinished);
  CHECK(is_finite(state_of(tiny)));
  CHECK_THAT(log.text(), Contains("step 2: the loss is nan") && Contains("skipped"));
}

TEST_CASE("trainer: skipping survives an interruption to the bit") {
  const test::TemporaryFolder whole, pieces;
  const auto config = guarded({});
  TinyRun unbroken(whole.path(), config, {.change_losses = spoilt(9, 11)});
  Recorder recorder;
  CHECK(test::run(unbroken, recorder) == RunEnd::kFinished);
  {
    const TinyRun* running = nullptr;
    const auto in_the_middle = [&] { return running && running->trainer.clock().step() == 10; };
    TinyRun first(pieces.path(), config, {.stop_requested = in_the_middle, .change_losses = spoilt(9, 11)});
    running = &first;
    Recorder ignored;
    CHECK(test::run(first, ignored) == RunEnd::kStopped);
    CHECK(first.trainer.clock().step() == 10);
  }
  TinyRun second(pieces.path(), config, {.change_losses = spoilt(9, 11)});
  const test::CapturedLog log;
  CHECK(second.trainer.resume());
  CHECK(second.trainer.run() == RunEnd::kFinished);
  for (const auto& [name, value] : state_of(unbroken)) CHECK(value.equal(state_of(second).at(name)));
}

TEST_CASE("trainer: too many such steps in a row end the run and leave earlier checkpoints good") {
  const int64_t log_every = GENERATE(1, 3, 50);
  const test::TemporaryFolder folder;
  const auto config = guarded({.max_skipped = 2}, log_every);
  Recorder recorder;
  {
    TinyRun tiny(folder.path(), config, {.change_losses = spoilt(10, 1000)});
    CHECK_THROWS_WITH(test::run(tiny, recorder),
                      Contains("step 12: the loss is nan") && Contains("3 steps in a row: training has diverged.") &&
                          Contains("Checkpoints up to that of step 8 are from before it. Start a new run: lower the "
                                   "learning rate, lengthen the warm-up or set clip_grad_norm."));
  }
  CHECK(recorder.step_numbers() == test::one_to(12));
  const auto checkpoint = CheckpointStore(folder / "checkpoints", 3).newest();
  REQUIRE(checkpoint);
  CHECK(checkpoint->step() == 8);
  TinyRun again(folder.path(), config);
  const test::CapturedLog log;
  CHECK(again.trainer.resume());
  CHECK(again.trainer.run() == RunEnd::kFinished);
}

TEST_CASE("trainer: the first part of the network whose output is not finite is named") {
  const test::TemporaryFolder folder;
  TinyRun tiny(folder.path(), guarded({.max_skipped = 1}));
  const at::NoGradGuard no_grad;
  tiny.net->norm->weight[2] = std::numeric_limits<float>::infinity();
  Recorder recorder;
  const at::AutoGradMode with_grad(true);
  CHECK_THROWS_WITH(test::run(tiny, recorder),
                    Contains("step 2: ") && Contains("the first output that is not finite is that of norm"));
}

TEST_CASE("trainer: a run that has diverged rolls back, and goes on with a smaller rate") {
  const test::TemporaryFolder folder;
  const auto config = guarded({.max_skipped = 1, .then = WhenDiverged::kRollBack, .lr_factor = 0.25});
  int64_t passes = 0;  // through step 10
  const auto spoils_once = [&](const tasks::Step& where, const Batch&, tasks::Losses& losses) {
    if (where.step == 9) ++passes;
    if (passes == 1 && where.step >= 9) losses.total = losses.total * std::nan("");
  };
  TinyRun tiny(folder.path(), config, {.change_losses = spoils_once});
  Recorder recorder;
  const test::CapturedLog log;
  tiny.trainer.observe(recorder);
  CHECK(tiny.trainer.run() == RunEnd::kFinished);
  CHECK_THAT(log.text(), Contains("rolled back to") && Contains("step_000000008") && Contains("times 0.25"));
  CHECK(passes == 2);
  // Steps 9 and 10 come twice; those after the roll back have a quarter of the rate.
  const auto& steps = recorder.steps;
  const auto second = std::find_if(steps.begin() + 9, steps.end(), [](const auto& record) { return record.step == 9; });
  REQUIRE(second != steps.end());
  CHECK(second->lr == Approx(0.25 * steps[8].lr));
  CHECK(steps.back().step == 24);
  CHECK(unsound_steps(recorder) == std::vector<int64_t>{10, 11});
}

TEST_CASE("trainer: a roll back goes to before the trouble, also when it was interrupted in its midst") {
  const test::TemporaryFolder folder;
  const auto config = guarded({.max_skipped = 3, .then = WhenDiverged::kRollBack, .max_roll_backs = 1});
  const TinyRun* running = nullptr;
  {
    TinyRun first(folder.path(), config,
                  {.stop_requested = [&] { return running && running->trainer.clock().step() == 12; },
                   .change_losses = spoilt(10, 1000)});
    running = &first;
    Recorder ignored;
    CHECK(test::run(first, ignored) == RunEnd::kStopped);
  }
  CHECK(CheckpointStore(folder / "checkpoints", 3).newest()->step() == 12);
  const test::CapturedLog log;
  TinyRun second(folder.path(), config, {.change_losses = spoilt(10, 1000)});
  CHECK(second.trainer.resume());
  CHECK_THROWS_WITH(second.trainer.run(), Contains("training has diverged"));
  CHECK_THAT(log.text(), Contains("rolled back to") && Contains("step_000000008"));
}

TEST_CASE("trainer: a run that diverges again and again stops in the end") {
  const test::TemporaryFolder folder;
  const auto config = guarded({.max_skipped = 1, .then = WhenDiverged::kRollBack, .max_roll_backs = 2});
  TinyRun tiny(folder.path(), config, {.change_losses = spoilt(10, 1000)});
  const test::CapturedLog log;
  CHECK_THROWS_WITH(tiny.trainer.run(), Contains("step 11: ") && Contains("training has diverged"));
  CHECK_THAT(log.text(), Contains("times 0.5") && Contains("times 0.25"));
  const test::TemporaryFolder other;
  TinyRun early(other.path(), config, {.change_losses = spoilt(1, 1000)});
  CHECK_THROWS_WITH(early.trainer.run(), Contains("There is no checkpoint from before it."));
  const test::TemporaryFolder third;  // a checkpoint that was written in the midst of such steps is none
  TinyRun unsound(third.path(), guarded({.max_skipped = 9}), {.change_losses = spoilt(1, 1000)});
  CHECK_THROWS_WITH(unsound.trainer.run(), Contains("There is no checkpoint from before it."));
  CHECK(CheckpointStore(third / "checkpoints", 3).newest());
}

TEST_CASE("trainer: gradients that are not finite are skipped too") {
  const test::TemporaryFolder folder;
  const auto infinite_slope = [](const tasks::Step& where, const Batch&, tasks::Losses& losses) {
    if (where.step == 2) losses.total = losses.total.sub(losses.total.detach()).sqrt();  // 0, with infinite slope
  };
  TinyRun tiny(folder.path(), guarded({.max_skipped = 0}), {.change_losses = infinite_slope});
  Recorder recorder;
  CHECK_THROWS_WITH(test::run(tiny, recorder), Contains("step 3: the loss is 0, the gradient norm "));
  CHECK(recorder.step_numbers() == test::one_to(3));
}

/// Photos of persons are high and narrow: at 384 x 128 the last maps are narrower than their kernel.
class Strips : public data::Source {
 public:
  int64_t size() const override { return 4; }
  Result<data::Record> read(int64_t index) const override {
    const auto image = at::arange(384 * 128 * 3, at::kLong).mul(31 + index).remainder(251).to(at::kByte);
    return data::Record{.payload = image.view({384, 128, 3}),
                        .target = {{"label", at::full({}, index % 2, at::kLong)}},
                        .key = {},
                        .source = where(index)};
  }
  DataInfo info() const override {
    return {.fields = {{.name = "label", .dtype = at::kLong, .shape = {}, .meaning = ""}},
            .classes = {"first", "second"},
            .constants = {}};
  }
};

class Unchanged : public data::Pipeline {
 public:
  Result<std::vector<Sample>> apply(const data::Record& record, const Draw& /*draw*/) const override {
    Sample sample{.fields = record.target, .key = record.key, .source = record.source};
    sample.fields["image"] = std::get<at::Tensor>(record.payload);
    return std::vector<Sample>{sample};
  }
  DataInfo describe(DataInfo source) const override {
    source.fields.push_back({.name = "image", .dtype = at::kByte, .shape = {384, 128, 3}, .meaning = ""});
    source.constants["mean"] = at::full({3}, 0.5f);
    source.constants["std"] = at::full({3}, 0.25f);
    return source;
  }
};

/// Four steps of variant A on strips, into the folder.
void train_on_strips(models::UniRepLKNet network, const test::TemporaryFolder& path, Recorder& recorder) {
  const auto dataset = data::make_dataset(std::make_shared<Strips>(), std::make_shared<Unchanged>());
  const auto sampler = data::shuffled_sampler(4, 2, 1);
  const Context context{.seed = 1, .rank = {}};
  data::Loader loader(dataset, *sampler, data::Mode::kTrain, {.batch_size = 2, .workers = 0}, context);
  tasks::Classification task({}, tasks::network_of(network.ptr()), dataset.info);
  auto config = guarded({.max_skipped = 1});
  config.epochs = 2;
  const RunFolder folder(path.path(), /*resume=*/true);
  Trainer trainer(config, {.task = task,
                           .train_data = loader,
                           .batches_per_epoch = sampler->steps(0),
                           .folder = folder,
                           .context = context});
  trainer.observe(recorder);
  const test::CapturedLog log;
  trainer.run();
}

TEST_CASE("trainer: a map that overflows at 384 x 128 is named, and does not reach the weights") {
  auto options = models::variant_options("unireplknet_a");
  options.num_classes = 2;
  models::UniRepLKNet network(options);
  models::initialise(*network, at::detail::createCPUGenerator(3));
  Recorder sound, unsound;
  train_on_strips(network, test::TemporaryFolder(), sound);
  CHECK(unsound_steps(sound).empty());
  {
    const at::NoGradGuard no_grad;
    network->named_parameters()["stages.2.5.gamma"].fill_(3e38);
  }
  std::vector<at::Tensor> before;
  for (const auto& entry : models::state_dict(*network)) before.push_back(entry.second.detach().clone());
  CHECK_THROWS_WITH(
      train_on_strips(network, test::TemporaryFolder(), unsound),
      Contains("step 2: the loss is nan") && Contains("the first output that is not finite is that of stages.2.5"));
  const auto after = models::state_dict(*network);
  for (size_t i = 0; i < before.size(); ++i) CHECK(after[i].second.equal(before[i]));
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
