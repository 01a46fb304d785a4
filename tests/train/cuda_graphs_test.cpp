#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/io/state_file.h"
#include "unireplk/io/tensor_file.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/train/ema.h"
#include "unireplk/train/gradients.h"
#include "unireplk/train/loss_scale.h"
#include "unireplk/train/precision.h"
#include "unireplk/train/step_graphs.h"

/// Recordings on a GPU.
namespace unireplk::train {
namespace {

using Catch::Matchers::Contains;
using test::TinyRun;

bool no_gpu_here() {
  if (at::hasCUDA()) return false;
  WARN("SKIPPED: no CUDA device");
  return true;
}

at::Device gpu() { return {at::kCUDA, 0}; }

/// cuDNN takes what gives the same bits each time, while this lives.
class Repeatable {
 public:
  Repeatable() : before_(at::globalContext().deterministicCuDNN()) { at::globalContext().setDeterministicCuDNN(true); }
  ~Repeatable() { at::globalContext().setDeterministicCuDNN(before_); }
  Repeatable(const Repeatable&) = delete;
  Repeatable& operator=(const Repeatable&) = delete;

 private:
  bool before_;
};

using State = std::map<std::string, at::Tensor>;

/// Largest difference of all entries, relative to the largest value of each.
double difference(const State& a, const State& b) {
  double largest = 0;
  for (const auto& [name, value] : a) {
    const auto x = value.to(at::kDouble), y = b.at(name).to(at::kDouble);
    REQUIRE(at::isfinite(x).all().item<bool>());
    REQUIRE(at::isfinite(y).all().item<bool>());
    const double scale = std::max(y.abs().max().item<double>(), 1e-6);
    largest = std::max(largest, (x - y).abs().max().item<double>() / scale);
  }
  return largest;
}

/// What steps may differ by that are the same but for being recorded: what two runs without recordings differ by, some
/// times over; nothing where those are equal.
double allowed(const State& once, const State& again) { return 8 * difference(once, again); }

using Make = std::function<std::unique_ptr<Optimizer>(const torch::nn::Module&)>;

struct Steps {
  Precision precision = Precision::kFp32;
  int64_t accumulate = 1;
  int64_t count = 10;
  bool changes_shape = false;  ///< every third step has a smaller batch
  int64_t spoilt_step = -1;    ///< whose images are infinite
  Make make = [](const auto& network) { return make_adamw({.lr = 1e-3}, network); };
};

/// Another learning rate and weight decay in each step.
StepSettings settings_of(const Optimizer& optimizer, int64_t step) {
  return {.lr = optimizer.base().lr * (1 + static_cast<double>(step % 4)),
          .weight_decay = 0.01 * static_cast<double>(step)};
}

void add_state_of(const Stateful& part, const std::string& name, State& state) {
  io::StateBuffer buffer;
  part.save(buffer);
  for (const auto& [key, value] : buffer.tensors().tensors) state[name + key] = value;
  if (buffer.has("step")) state[name + "step"] = at::scalar_tensor(buffer.integer("step"), at::kDouble);
}

/// Steps of a real network with drop path on a GPU, each from the seed of its number; those of one micro-batch are
/// recorded whole. \return weights, statistics, averages and the optimizer's state, and losses and norms by step.
State steps_on_gpu(const Steps& steps, bool with_graphs, size_t expected_recordings = 0) {
  auto options = models::variant_options("unireplknet_a");
  options.num_classes = 10;
  options.drop_path = 0.3;
  models::UniRepLKNet network(options);
  models::initialise(*network, at::detail::createCPUGenerator(3));
  network->to(gpu());
  network->train();
  const auto optimizer = steps.make(*network);
  GroupRates rates(optimizer->groups(), /*decay_on_device=*/true);
  at::Generator generator = at::globalContext().defaultGenerator(gpu()).clone();
  std::optional<LossScale> scale;
  if (steps.precision == Precision::kFp16) scale.emplace(gpu(), LossScaleOptions{.initial = 256});
  Guard skipping({}, *network);
  Ema averages(*network, 0.9);
  std::optional<StepGraphs> graphs;
  if (with_graphs) graphs.emplace(make_graph_recorder(gpu()), *network, generator);

  const auto autocast = autocast_for(steps.precision, gpu());
  const auto pass = [&](const Batch& batch) {
    const at::Tensor loss = [&] {
      const AutocastGuard guard(autocast);
      const auto logits = network->forward(batch.tensor("image"), generator);
      return tasks::label_cross_entropy(logits, batch.tensor("label"), 0.1).div(static_cast<double>(steps.accumulate));
    }();
    (scale ? scale->scaled(loss) : loss).backward();
    return StepValues{.loss = loss.detach()};
  };
  const auto update = [&](StepValues& values) {
    if (scale) scale->unscale(optimizer->gradients());
    values.grad_norm = clip_gradients(optimizer->gradients(), 1.0);
    const at::Tensor skip = Guard::is_unsound(values.loss, values.grad_norm);
    optimizer->step(rates, skip);
    skipping.end_step(skip);
    averages.update(skip);
    if (scale) scale->update(skip);
  };
  const auto whole_step = [&](const Batch& batch) {
    StepValues values = pass(batch);
    update(values);
    return values;
  };
  const bool is_whole = steps.accumulate == 1;

  const auto images = at::detail::createCPUGenerator(9);
  State state;
  for (int64_t step = 0; step < steps.count; ++step) {
    graphs ? graphs->zero_gradients() : optimizer->zero_grad();
    rates.set(settings_of(*optimizer, step));
    skipping.begin_step();
    StepValues values;
    for (int64_t micro = 0; micro < steps.accumulate; ++micro) {
      const int64_t size = steps.changes_shape && step % 3 == 2 ? 4 : 8;
      at::Tensor image = at::randn({size, 3, 64, 64}, images);
      if (step == steps.spoilt_step) image.fill_(INFINITY);
      Batch batch;
      batch.fields["image"] = image.to(gpu()).contiguous(at::MemoryFormat::ChannelsLast);
      batch.fields["label"] = at::arange(size, at::kLong).remainder(10).to(gpu());
      batch.keys.resize(static_cast<size_t>(size));
      generator.set_current_seed(static_cast<uint64_t>(100 * step + micro));
      if (is_whole) {
        values = graphs ? graphs->run_step(batch, whole_step) : whole_step(batch);
      } else {
        values.add(graphs ? graphs->run_pass(batch, steps.accumulate, pass) : pass(batch));
      }
    }
    if (!is_whole) update(values);
    if (step == steps.spoilt_step) continue;
    state[format("loss.{}", step)] = values.loss;
    state[format("norm.{}", step)] = values.grad_norm;
  }
  for (const auto& [name, value] : models::state_dict(*network)) state[name] = value.detach();
  for (auto& [name, value] : state) value = value.cpu();
  add_state_of(averages, "average.", state);
  add_state_of(*optimizer, "optimizer.", state);
  if (graphs) CHECK(graphs->count() == expected_recordings);
  return state;
}

void check_same_steps(const Steps& steps, size_t recordings) {
  const auto expected = steps_on_gpu(steps, false), again = steps_on_gpu(steps, false);
  const auto state = steps_on_gpu(steps, true, recordings);
  const double found = difference(state, expected), most = allowed(again, expected);
  CAPTURE(found, most);
  CHECK(found <= most);
}

TEST_CASE("step graphs: on a GPU, replayed steps are those without recordings, in each precision", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  const auto precision = GENERATE(Precision::kFp32, Precision::kBf16, Precision::kFp16);
  CAPTURE(name_of(precision));
  check_same_steps({.precision = precision}, 1);
  CHECK_THAT(log.text(), !Contains("train.cuda_graphs"));
}

TEST_CASE("step graphs: on a GPU, a replayed step of a network that is skipped changes nothing of it", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  const auto precision = GENERATE(Precision::kFp32, Precision::kFp16);
  const Make sgd = [](const auto& network) { return make_sgd({.lr = 1e-2}, network); };
  check_same_steps({.precision = precision, .spoilt_step = 7}, 1);
  check_same_steps({.precision = precision, .spoilt_step = 7, .make = sgd}, 1);
  const Steps before{.precision = precision, .count = 7}, skipped{.precision = precision, .count = 8, .spoilt_step = 7};
  const State expected = steps_on_gpu(before, true, 1), again = steps_on_gpu(before, true, 1);
  CHECK(difference(expected, steps_on_gpu(skipped, true, 1)) <= allowed(again, expected));
  CHECK_THAT(log.text(), !Contains("train.cuda_graphs"));
}

TEST_CASE(
    "step graphs: on a GPU, each replayed step has its own learning rate and batch, however far the host is ahead",
    "[cuda]") {
  if (no_gpu_here()) return;
  const test::CapturedLog log;
  struct Net : torch::nn::Module {
    at::Tensor weight = register_parameter("weight", at::zeros({1 << 22}, at::TensorOptions(gpu())));
  };
  const auto net = std::make_shared<Net>();
  const auto optimizer = make_sgd({.weight_decay = 0.0, .momentum = 0.0}, *net);
  GroupRates rates(optimizer->groups(), GENERATE(false, true));
  StepGraphs graphs(make_graph_recorder(gpu()), *net, at::globalContext().defaultGenerator(gpu()).clone());
  const auto work = [&](const Batch& batch) {
    const at::Tensor loss = (net->weight * batch.tensor("x")).sum();
    loss.backward();
    optimizer->step(rates, {});
    return StepValues{.loss = loss.detach()};
  };
  double expected = 0;
  for (int64_t t = 1; t <= 500; ++t) {
    const double lr = std::ldexp(1.0, static_cast<int>(t % 3));  // sums are exact
    const double x = 1 + static_cast<double>(t % 2);
    Batch batch;
    batch.fields["x"] = at::full_like(net->weight.detach(), x);
    rates.set({.lr = lr, .weight_decay = 0});
    graphs.run_step(batch, work);
    expected -= lr * x;
  }
  CHECK(net->weight.min().item<double>() == expected);
  CHECK(net->weight.max().item<double>() == expected);
  CHECK(graphs.count() == 1);
}

TEST_CASE("step graphs: on a GPU, several micro-batches of a step, and two shapes in turn", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  check_same_steps({.precision = Precision::kBf16, .accumulate = 3, .count = 6}, 1);
  check_same_steps({.precision = Precision::kBf16, .count = 18, .changes_shape = true}, 2);
  CHECK_THAT(log.text(), !Contains("train.cuda_graphs"));
}

TEST_CASE("step graphs: on a GPU, whole steps of each optimizer", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  check_same_steps({.make = [](const auto& network) { return make_adamw({.lr = 1e-3, .layer_decay = 0.8}, network); }},
                   1);
  check_same_steps({.make = [](const auto& network) { return make_adam({.lr = 1e-3}, network); }}, 1);
  check_same_steps({.make = [](const auto& network) { return make_sgd({.lr = 1e-2}, network); }}, 1);
  check_same_steps({.make = [](const auto& network) { return make_sgd({.lr = 1e-2, .momentum = 0}, network); }}, 1);
  CHECK_THAT(log.text(), !Contains("train.cuda_graphs"));
}

TEST_CASE("step graphs: on a GPU, a recording that memory does not hold leaves the others and what they draw",
          "[cuda]") {
  if (no_gpu_here()) return;
  const test::CapturedLog log;
  struct Net : torch::nn::Module {
    at::Tensor weight = register_parameter("weight", at::ones({64, 64}, at::TensorOptions(gpu())));
  };
  const auto net = std::make_shared<Net>();
  at::Generator generator = at::globalContext().defaultGenerator(gpu()).clone();
  StepGraphs graphs(make_graph_recorder(gpu()), *net, generator);
  int64_t large_steps = 0;
  const auto work = [&](const Batch& batch) {
    const auto mask = at::empty({64, 64}, net->weight.options()).bernoulli_(0.5, generator);
    const at::Tensor loss = (net->weight.mm(batch.tensor("x")).sum(1) * mask.sum(1)).sum();
    loss.backward();
    const bool is_recording = batch.tensor("x").size(1) == 32 && ++large_steps == StepGraphs::kRehearsals + 1;
    if (is_recording) at::empty({int64_t{1} << 44}, mask.options());
    return StepValues{.loss = loss.detach(), .grad_norm = net->weight.grad().norm()};
  };
  const auto step = [&](int64_t columns) {
    Batch batch;
    batch.fields["x"] = at::ones({64, columns}, at::TensorOptions(gpu()));
    generator.set_current_seed(5);
    return graphs.run_step(batch, work).loss.item<double>();
  };
  const double small = step(16), large = step(32);
  for (int64_t i = 0; i < 6; ++i) {
    CHECK(step(16) == small);
    CHECK(step(32) == large);
  }
  CHECK(graphs.count() == 1);
  CHECK_THAT(log.text(), Contains("memory does not hold a recording of the step") && !Contains("from here on"));
}

TEST_CASE("step graphs: on a GPU, a recording that fails leaves everything usable", "[cuda]") {
  if (no_gpu_here()) return;
  const test::CapturedLog log;
  const auto weight = at::ones({64, 64}, at::TensorOptions(gpu()));
  struct Net : torch::nn::Module {
    explicit Net(const at::Tensor& value) : weight(register_parameter("weight", value.clone())) {}
    at::Tensor weight;
  };
  const auto net = std::make_shared<Net>(weight);
  at::Generator generator = at::globalContext().defaultGenerator(gpu()).clone();
  int64_t passes = 0;
  const bool waits = GENERATE(true, false);  // for the device, or throws by itself
  const auto pass = [&](const Batch& batch) {
    const auto mask = at::empty({64, 64}, weight.options()).bernoulli_(0.5, generator);
    const at::Tensor loss = (net->weight.mm(batch.tensor("x")) * mask).sum();
    loss.backward();
    if (++passes == StepGraphs::kRehearsals + 1) {
      if (waits) loss.item<double>();
      throw std::runtime_error("not like this");
    }
    return StepValues{.loss = loss.detach()};
  };
  Batch batch;
  batch.fields["x"] = weight;
  const auto step = [&](StepGraphs& graphs) {
    generator.set_current_seed(5);
    graphs.zero_gradients();
    return graphs.run_pass(batch, 1, pass).loss.item<double>();
  };
  StepGraphs failing(make_graph_recorder(gpu()), *net, generator);
  const double expected = step(failing);
  for (int64_t i = 1; i < 6; ++i) CHECK(step(failing) == expected);
  CHECK(failing.count() == 0);
  CHECK_THAT(log.text(), Contains("the pass could not be recorded: "));
  at::rand({8}, at::TensorOptions(gpu()));  // of the generator that LibTorch records besides

  StepGraphs good(make_graph_recorder(gpu()), *net, generator);
  for (int64_t i = 0; i < 6; ++i) CHECK(step(good) == expected);
  CHECK(good.count() == 1);
  good.clear();  // with the last recording goes the memory that recordings share
  for (int64_t i = 0; i < 6; ++i) CHECK(step(good) == expected);
  CHECK(good.count() == 1);
}

/// A run of 24 micro-batches on a GPU.
struct Run {
  Precision precision = Precision::kFp32;
  int64_t accumulate_steps = 1;
  int64_t stop_at = 1000;     ///< after so many steps it is stopped and resumed
  int64_t spoilt_step = 0;    ///< the first whose loss is infinite
  int64_t spoilt_count = 1;   ///< of steps; three in a row are rolled back
  bool lacks_memory = false;  ///< for a validation, the first time
  int64_t traced_from = 6;    ///< step
};

/// Takes more memory than there is.
void fail_for_memory() { at::empty({int64_t{1} << 44}, at::TensorOptions(gpu())); }

/// \return weights, averages and the optimizer's state, and losses, norms and scales by step.
State run_on_gpu(const Run& run, bool with_graphs) {
  const test::TemporaryFolder folder;
  auto config = test::tiny_config();
  config.cuda_graphs = with_graphs;
  config.precision = run.precision;
  config.accumulate_steps = run.accumulate_steps;
  config.ema = EmaConfig{.decay = 0.9};
  config.clip_grad_norm = 1.0;
  config.profile = ProfileConfig{.start = run.traced_from, .steps = 2};
  if (run.spoilt_count > 1) {
    config.guard = {.max_skipped = 2, .then = WhenDiverged::kRollBack};
    config.checkpoint.every_steps = 4;
    config.log_every = 1;
  }
  config::Registry<MakeSchedule> schedules{"schedule"};
  schedules.add<CosineConfig>("cosine", "", make_cosine);
  config.schedule = config::Choice<MakeSchedule>::of(
      schedules, "cosine", CosineConfig{.warmup = {.warmup_steps = 3}, .weight_decay_end = 0.5});
  test::Recorder recorder;
  for (const int64_t last : {run.stop_at, int64_t{1000}}) {
    const TinyRun* running = nullptr;
    TinyRun tiny(
        folder.path(), config,
        {.stop_requested = [&] { return running && running->trainer.clock().step() >= last; }, .device = gpu()});
    tiny.task.change_batch = [&run, spoilt = int64_t{0}](const tasks::Step& step, Batch& batch) mutable {
      if (run.spoilt_step == 0 || step.step + 1 < run.spoilt_step || spoilt == run.spoilt_count) return;
      ++spoilt;
      batch.fields["image"] = at::full_like(batch.tensor("image"), INFINITY);
    };
    tiny.task.before_evaluation = [lacks_memory = run.lacks_memory && with_graphs]() mutable {
      if (std::exchange(lacks_memory, false)) fail_for_memory();
    };
    running = &tiny;
    tiny.trainer.observe(recorder);
    tiny.trainer.resume();
    if (tiny.trainer.run() == RunEnd::kStopped) continue;
    State state;
    for (const auto& [name, value] : models::state_dict(*tiny.net)) state[name] = value.detach().cpu();
    const auto checkpoint = CheckpointStore(folder / "checkpoints", 1).pointed("latest");
    for (const std::string part : {"ema", "optimizer"}) {
      const auto file = io::read_safetensors(*checkpoint / (part + ".safetensors"));
      for (const auto& [name, value] : file.tensors) state[format("{}.{}", part, name)] = value;
    }
    const auto scalars = nlohmann::json::parse(test::content(*checkpoint / "state.json")).at("checkpoint").at("state");
    state["optimizer.step"] = at::scalar_tensor(scalars.at("optimizer").at("step").get<int64_t>(), at::kDouble);
    for (const auto& record : recorder.steps) {
      if (!record.is_sound()) continue;
      state[format("step.{}", record.step)] =
          at::tensor({record.loss, record.grad_norm, record.loss_scale.value_or(1)}, at::kDouble);
    }
    return state;
  }
  return State();
}

void check_same_runs(const Run& run) {
  const State expected = run_on_gpu(run, false), again = run_on_gpu(run, false), state = run_on_gpu(run, true);
  REQUIRE(state.size() == expected.size());  // so many sound steps
  const double found = difference(state, expected), most = allowed(again, expected);
  CAPTURE(found, most);
  CHECK(found <= most);
}

TEST_CASE("step graphs: on a GPU, a run is that without recordings, also resumed", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  const int64_t accumulate_steps = GENERATE(1, 2), stop_at = GENERATE(7, 1000);
  CAPTURE(accumulate_steps, stop_at);
  check_same_runs({.accumulate_steps = accumulate_steps, .stop_at = stop_at});
  const std::string recorded =
      accumulate_steps == 1 ? "recorded the step of batches of 4 samples" : "recorded the pass of batches of 4 samples";
  CHECK_THAT(log.text(), Contains(recorded) && !Contains("train.cuda_graphs"));
}

TEST_CASE("step graphs: on a GPU, a replayed step whose loss is infinite changes nothing, and the scale falls",
          "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  const auto precision = GENERATE(Precision::kBf16, Precision::kFp16);
  check_same_runs({.precision = precision, .spoilt_step = 12});
  CHECK_THAT(log.text(), Contains("recorded the step") && !Contains("train.cuda_graphs"));
}

TEST_CASE("step graphs: on a GPU, a run that rolls back is that without recordings", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  check_same_runs({.spoilt_step = 14, .spoilt_count = 3});
  CHECK_THAT(log.text(), Contains("rolled back to") && !Contains("train.cuda_graphs"));
}

TEST_CASE("step graphs: on a GPU, recordings make room for a validation that does not fit beside them", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  check_same_runs({.accumulate_steps = GENERATE(1, 2), .lacks_memory = true});
  CHECK_THAT(log.text(), Contains("memory does not hold an evaluation beside the recordings (CUDA out of memory"));
}

TEST_CASE("step graphs: on a GPU, a step is recorded while the run is traced", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  check_same_runs({.traced_from = 3});
  CHECK_THAT(log.text(), Contains("recorded the step") && Contains("steps 3 to 4 traced"));
}

}  // namespace
}  // namespace unireplk::train
