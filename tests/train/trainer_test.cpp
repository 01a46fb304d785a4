#include "unireplk/train/trainer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numeric>

#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/core/error.h"
#include "unireplk/io/tensor_file.h"
#include "unireplk/train/evaluate.h"
#include "unireplk/train/gradients.h"

namespace unireplk::train {
namespace {

using test::Recorder;
using test::tiny_config;
using test::TinyRun;

/// What an optimizer was given at each step.
struct Watched {
  std::vector<StepSettings> settings;
  std::vector<std::vector<at::Tensor>> gradients;
};

/// Plain gradient descent that keeps what it is given.
class Watcher : public Optimizer {
 public:
  Watcher(Watched& watched, const torch::nn::Module& network)
      : watched_(watched), groups_(parameter_groups(network, 1.0)) {}

  void step(const GroupRates& rates, const at::Tensor&) override {
    const at::NoGradGuard no_grad;
    const StepSettings& settings = rates.settings();
    auto& kept = watched_.gradients.emplace_back();
    watched_.settings.push_back(settings);
    for (const auto& group : groups_) {
      for (const auto& parameter : group.parameters) {
        kept.push_back(parameter.value.grad().clone());
        at::Tensor(parameter.value).sub_(parameter.value.grad(), settings.lr);
      }
    }
  }
  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  StepSettings base() const override { return {.lr = 0.1, .weight_decay = 0.02}; }
  void save(StateWriter&) const override {}
  void load(const StateReader&) override {}

 private:
  Watched& watched_;
  std::vector<ParameterGroup> groups_;
};

TrainConfig watched_config(Watched& watched) {
  config::Registry<MakeOptimizer> optimizers{"optimizer"};
  optimizers.add<config::Empty>("watcher", "", [&watched](const config::Empty&, const torch::nn::Module& network) {
    return std::make_unique<Watcher>(watched, network);
  });
  auto config = tiny_config();
  config.optimizer = config::Choice<MakeOptimizer>::of(optimizers, "watcher", config::Empty{});
  return config;
}

std::vector<int64_t> validated_steps(const Recorder& recorder) {
  std::vector<int64_t> steps;
  for (const auto& record : recorder.validations) steps.push_back(record.step);
  return steps;
}

double mean_loss(const std::vector<StepRecord>& records, size_t from, size_t to) {
  double sum = 0;
  for (size_t i = from; i < to; ++i) sum += records[i].loss;
  return sum / static_cast<double>(to - from);
}

TEST_CASE("trainer: the loss falls, and the network learns", "[numeric]") {
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.epochs = 20;
  TinyRun tiny(folder.path(), config);
  Recorder recorder;
  CHECK(test::run(tiny, recorder) == RunEnd::kFinished);
  REQUIRE(recorder.steps.size() == 120);
  CHECK(mean_loss(recorder.steps, 108, 120) < 0.8 * mean_loss(recorder.steps, 0, 12));  // smoothed: never below 0.29
  CHECK(recorder.validations.back().results.at(0).metrics.at(0).value == 100.0);
}

TEST_CASE("trainer: trains a network that comes in eval mode all the same", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  TinyRun tiny(folder.path()), judge(reference.path());
  Recorder recorder, expected;
  tiny.net->eval();
  test::run(tiny, recorder);
  test::run(judge, expected);
  for (size_t i = 0; i < 24; ++i) CHECK(recorder.steps[i].loss == expected.steps[i].loss);
}

TEST_CASE("trainer: epochs or max_steps end the run, whichever comes first") {
  struct Length {
    std::optional<int64_t> epochs, max_steps;
    int64_t steps, epochs_done, step_in_epoch;
  };
  const auto length = GENERATE(Length{2, {}, 12, 2, 0}, Length{{}, 7, 7, 1, 1}, Length{2, 7, 7, 1, 1},
                               Length{1, 7, 6, 1, 0}, Length{{}, 6, 6, 1, 0});
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.epochs = length.epochs;
  config.max_steps = length.max_steps;
  TinyRun tiny(folder.path(), config);
  Recorder recorder;
  CHECK(test::run(tiny, recorder) == RunEnd::kFinished);
  CHECK(recorder.step_numbers() == test::one_to(length.steps));
  const auto& clock = tiny.trainer.clock();
  CHECK(clock.finished());
  CHECK((clock.step() == length.steps && clock.epoch() == length.epochs_done));
  CHECK(clock.step_in_epoch() == length.step_in_epoch);
  CHECK(clock.samples() == length.steps * TinyRun::kBatchSize);
  CHECK(CheckpointStore(folder / "checkpoints", 1).newest()->step() == length.steps);
}

TEST_CASE("trainer: observers get each step once, in order, whatever the interval") {
  const int64_t log_every = GENERATE(1, 4, 5, 6, 50);
  const test::TemporaryFolder folder, reference;
  auto config = tiny_config();
  config.epochs = 3;
  Recorder expected;
  TinyRun one_by_one(reference.path(), config);
  test::run(one_by_one, expected);
  config.log_every = log_every;
  TinyRun tiny(folder.path(), config);
  Recorder recorder, second;
  tiny.trainer.observe(second);
  test::run(tiny, recorder);
  CHECK(recorder.step_numbers() == test::one_to(18));
  CHECK(second.step_numbers() == test::one_to(18));
  for (size_t i = 0; i < 18; ++i) {
    CHECK(recorder.steps[i].epoch == static_cast<int64_t>(i) / 6);
    CHECK(recorder.steps[i].loss == expected.steps[i].loss);
    CHECK(recorder.steps[i].grad_norm == expected.steps[i].grad_norm);
  }
  // An epoch of six steps ends with a validation, for which all is read.
  if (log_every == 4) CHECK(recorder.readings == std::vector<int64_t>{4, 2, 4, 2, 4, 2});
  if (log_every == 50) CHECK(recorder.readings == std::vector<int64_t>{6, 6, 6});
}

TEST_CASE("trainer: validates after each epoch and at the end") {
  struct Plan {
    int64_t every, max_steps;
    std::vector<int64_t> steps;
  };
  const auto plan = GENERATE(Plan{1, 18, {6, 12, 18}}, Plan{2, 30, {12, 24, 30}}, Plan{9, 8, {8}}, Plan{1, 8, {6, 8}});
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.epochs.reset();
  config.max_steps = plan.max_steps;
  config.validate_every_epochs = plan.every;
  TinyRun tiny(folder.path(), config);
  Recorder recorder;
  test::run(tiny, recorder);
  CHECK(validated_steps(recorder) == plan.steps);
  for (const auto& record : recorder.validations) CHECK(record.epoch == (record.step - 1) / 6);
}

TEST_CASE("trainer: without validation data there is no validation and no best") {
  const test::TemporaryFolder folder;
  TinyRun tiny(folder.path(), tiny_config(), {.validates = false});
  Recorder recorder;
  test::run(tiny, recorder);
  CHECK(recorder.validations.empty());
  CHECK(tiny.trainer.best().step() == -1);
  CHECK_FALSE(std::filesystem::exists(folder / "checkpoints/best"));
}

TEST_CASE("trainer: a validation measures the weights of its moment, the averages last", "[numeric]") {
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.ema = EmaConfig{.decay = 0.8};
  TinyRun tiny(folder.path(), config);
  Recorder recorder;
  test::run(tiny, recorder);
  const auto& results = recorder.validations.back().results;
  REQUIRE(results.size() == 2);
  CHECK((results[0].weights == "model" && results[1].weights == "ema"));
  const auto loss_of = [&](const char* weights) {
    const auto file = io::read_safetensors(folder / "checkpoints/step_000000024" / weights);
    const at::NoGradGuard no_grad;
    for (const auto& entry : tiny.net->named_parameters()) at::Tensor(entry.value()).copy_(*file.find(entry.key()));
    for (const auto& entry : tiny.net->named_buffers()) at::Tensor(entry.value()).copy_(*file.find(entry.key()));
    return evaluate(tiny.task, tiny.validation_loader)->at(2).value;
  };
  CHECK(loss_of("model.safetensors") == results[0].metrics.at(2).value);
  CHECK(loss_of("ema.safetensors") == results[1].metrics.at(2).value);
  CHECK(results[0].metrics.at(2).value != results[1].metrics.at(2).value);
}

TEST_CASE("trainer: the best checkpoint is that of the best primary metric") {
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.ema = EmaConfig{.decay = 0.9};
  config.checkpoint.keep = 1;
  TinyRun tiny(folder.path(), config);
  Recorder recorder;
  test::run(tiny, recorder);
  double best = -1;
  int64_t step = -1;
  for (const auto& record : recorder.validations) {
    const double top1 = record.results.back().metrics.at(0).value;
    if (top1 > best) step = record.step;
    best = std::max(best, top1);
  }
  CHECK((tiny.trainer.best().step() == step && tiny.trainer.best().value() == best));
  const auto pointed = CheckpointStore(folder / "checkpoints", 1).pointed("best");
  REQUIRE(pointed);
  CHECK(pointed->filename() == format("step_{:09}", step));
  CHECK(Checkpoint::read(*pointed).step() == step);
}

TEST_CASE("trainer: the average moves after each step from the first on", "[numeric]") {
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.epochs.reset();
  config.max_steps = 3;
  config.ema = EmaConfig{.decay = 0.75};
  config.checkpoint.every_steps = 1;
  TinyRun tiny(folder.path(), config);
  std::vector<std::pair<std::string, at::Tensor>> start;
  for (const auto& entry : tiny.net->named_parameters())
    start.emplace_back(entry.key(), entry.value().detach().clone());
  for (const auto& entry : tiny.net->named_buffers()) start.emplace_back(entry.key(), entry.value().clone());
  Recorder recorder;
  test::run(tiny, recorder);
  const auto file = [&](int step, const char* name) {
    return io::read_safetensors(folder / format("checkpoints/step_{:09}/{}.safetensors", step, name));
  };
  const auto model1 = file(1, "model"), ema1 = file(1, "ema"), model2 = file(2, "model"), ema2 = file(2, "ema");
  for (const auto& [name, value] : start) {
    CAPTURE(name);
    if (!value.is_floating_point()) {
      CHECK(ema2.find(name)->equal(*model2.find(name)));
      continue;
    }
    const auto once = 0.75 * value + 0.25 * *model1.find(name);
    CHECK(at::allclose(*ema1.find(name), once, 1.3e-6, 1e-7));
    CHECK(at::allclose(*ema2.find(name), 0.75 * once + 0.25 * *model2.find(name), 1.3e-6, 1e-7));
  }
  CHECK_FALSE(ema2.find("norm.running_mean")->equal(*model2.find("norm.running_mean")));
}

TEST_CASE("trainer: the schedule's value of step s goes to step s + 1", "[numeric]") {
  const test::TemporaryFolder folder;
  Watched watched;
  TinyRun tiny(folder.path(), watched_config(watched));
  Recorder recorder;
  test::run(tiny, recorder);
  const auto schedule =
      make_cosine({.warmup = {.warmup_steps = 3}, .weight_decay_end = {}},
                  {.base = {.lr = 0.1, .weight_decay = 0.02}, .steps_per_epoch = 6, .total_steps = 24});
  REQUIRE(watched.settings.size() == 24);
  for (size_t i = 0; i < 24; ++i) {
    const auto expected = schedule->at(static_cast<int64_t>(i));
    CHECK((watched.settings[i].lr == expected.lr && watched.settings[i].weight_decay == expected.weight_decay));
    CHECK(recorder.steps[i].lr == expected.lr);
  }
  CHECK(watched.settings[0].lr == 0.0);
}

/// Gradients of the first micro-batches of a run, by one backward each.
std::vector<std::vector<at::Tensor>> gradients_by_hand(TinyRun& tiny, uint64_t seed, int64_t micro_steps) {
  std::vector<std::vector<at::Tensor>> gradients(static_cast<size_t>(micro_steps));
  auto generator = at::globalContext().defaultGenerator(at::kCPU).clone();
  const auto groups = parameter_groups(*tiny.net, 1.0);
  tiny.net->train();
  tiny.loader.start(0);
  for (int64_t i = 0; i < micro_steps; ++i) {
    auto batch = *tiny.loader.next();
    generator.set_current_seed(mix_seed({seed, /*rank=*/0, /*step=*/0, static_cast<uint64_t>(i)}));
    const tasks::Step step{.step = 0, .epoch = 0, .micro_step = i, .generator = generator};
    tiny.task.prepare(batch, step, /*training=*/true);
    tiny.net->zero_grad();
    tiny.task.losses(batch, step).total.backward();
    for (const auto& group : groups) {
      for (const auto& parameter : group.parameters) {
        gradients[static_cast<size_t>(i)].push_back(parameter.value.grad().clone());
      }
    }
  }
  return gradients;
}

TEST_CASE("trainer: the gradient of accumulated micro-batches is the mean of theirs", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  Watched watched;
  auto config = watched_config(watched);
  config.accumulate_steps = 3;
  TinyRun tiny(folder.path(), config, {.seed = 5}), judge(reference.path(), tiny_config(), {.seed = 5});
  Recorder recorder;
  test::run(tiny, recorder);
  const auto expected = gradients_by_hand(judge, 5, 3);
  for (size_t j = 0; j < expected[0].size(); ++j) {
    const auto mean = (expected[0][j] + expected[1][j] + expected[2][j]) / 3;
    CHECK(at::allclose(watched.gradients.at(0).at(j), mean, 1e-5, 1e-7));
  }
  const double norm = clip_gradients(watched.gradients[0], {}).item<double>();
  CHECK(recorder.steps[0].grad_norm == Approx(norm).epsilon(1e-6));
}

TEST_CASE("trainer: the loss of a step and its parts are means over the micro-batches", "[numeric]") {
  const test::TemporaryFolder folder;
  std::vector<double> losses;
  std::vector<int64_t> micro_steps;
  const auto keep_loss = [&](const tasks::Step& step, const Batch&, tasks::Losses& all) {
    losses.push_back(all.total.item<double>());
    micro_steps.push_back(step.micro_step);
    all.parts = {{"double", all.total.detach() * 2}};
  };
  auto config = tiny_config();
  config.epochs = 2;
  config.accumulate_steps = 3;
  TinyRun tiny(folder.path(), config, {.change_losses = keep_loss});
  Recorder recorder;
  test::run(tiny, recorder);
  REQUIRE(recorder.steps.size() == 4);
  CHECK(micro_steps == std::vector<int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2});
  for (size_t i = 0; i < 4; ++i) {
    const double mean = (losses[3 * i] + losses[3 * i + 1] + losses[3 * i + 2]) / 3;
    CHECK(recorder.steps[i].loss == Approx(mean).epsilon(1e-6));
    REQUIRE(recorder.steps[i].parts.size() == 1);
    CHECK(recorder.steps[i].parts[0].second == Approx(2 * mean).epsilon(1e-6));
  }
  CHECK(tiny.trainer.clock().samples() == 12 * TinyRun::kBatchSize);
}

TEST_CASE("trainer: micro-batches that do not fill a step are left out") {
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.accumulate_steps = 4;  // six micro-batches an epoch
  TinyRun tiny(folder.path(), config);
  Recorder recorder;
  test::run(tiny, recorder);
  CHECK(tiny.trainer.clock().length().steps_per_epoch == 1);
  CHECK(recorder.step_numbers() == test::one_to(4));
  CHECK(recorder.steps.back().epoch == 3);
}

TEST_CASE("trainer: an epoch without a full step is refused") {
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.accumulate_steps = 7;
  CHECK_THROWS_WITH(TinyRun(folder.path(), config),
                    "data.train: an epoch has 6 full batches, one step takes 7. "
                    "Lower batch_size or accumulate_steps, or give more data.");
}

TEST_CASE("trainer: a warm-up longer than the run is refused") {
  const test::TemporaryFolder folder;
  auto config = tiny_config();
  config.epochs.reset();
  config.max_steps = 2;
  CHECK_THROWS_AS(TinyRun(folder.path(), config), UserError);
}

TEST_CASE("trainer: clips gradients before the step, and logs the norm before clipping", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  Watched free, clipped;
  Recorder free_records, clipped_records;
  auto config = watched_config(free);
  config.epochs = 1;
  TinyRun free_run(reference.path(), config);
  test::run(free_run, free_records);
  config = watched_config(clipped);
  config.epochs = 1;
  const double max_norm = 0.5 * free_records.steps[0].grad_norm;
  config.clip_grad_norm = max_norm;
  TinyRun clipped_run(folder.path(), config);
  test::run(clipped_run, clipped_records);
  CHECK(clipped_records.steps[0].grad_norm == free_records.steps[0].grad_norm);
  for (const auto& gradients : clipped.gradients) {
    CHECK(clip_gradients(gradients, {}).item<double>() <= max_norm * (1 + 1e-5));
  }
  for (size_t j = 0; j < free.gradients[0].size(); ++j) {
    CHECK(at::allclose(clipped.gradients[0][j], free.gradients[0][j] * 0.5, 1e-5, 1e-8));
  }
}

TEST_CASE("trainer: draws of the network depend on seed and step alone", "[numeric]") {
  const test::TemporaryFolder first, second, third;
  Recorder a, b, c;
  const auto train = [](const test::TemporaryFolder& folder, uint64_t seed, Recorder& recorder) {
    at::manual_seed(static_cast<int64_t>(recorder.steps.size()) + reinterpret_cast<intptr_t>(&recorder));
    TinyRun tiny(folder.path(), tiny_config(), {.seed = seed});
    test::run(tiny, recorder);
  };
  train(first, 5, a);
  train(second, 5, b);
  train(third, 6, c);
  for (size_t i = 0; i < 24; ++i) CHECK(a.steps[i].loss == b.steps[i].loss);
  CHECK(a.steps[23].loss != c.steps[23].loss);
}

}  // namespace
}  // namespace unireplk::train
