#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <map>
#include <optional>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/tasks/classification.h"
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

struct Steps {
  Precision precision = Precision::kFp32;
  int64_t accumulate = 1;
  int64_t count = 10;
  bool changes_shape = false;  ///< every third step has a smaller batch
};

/// Steps of a real network with drop path on a GPU, each from the seed of its number. \return weights, statistics, and
/// the losses by step.
State steps_on_gpu(const Steps& steps, bool with_graphs, size_t expected_recordings = 0) {
  auto options = models::variant_options("unireplknet_a");
  options.num_classes = 10;
  options.drop_path = 0.3;
  models::UniRepLKNet network(options);
  models::initialise(*network, at::detail::createCPUGenerator(3));
  network->to(gpu());
  network->train();
  const auto optimizer = make_adamw({.lr = 1e-3}, *network);
  at::Generator generator = at::globalContext().defaultGenerator(gpu()).clone();
  std::optional<LossScale> scale;
  if (steps.precision == Precision::kFp16) scale.emplace(gpu(), LossScaleOptions{.initial = 256});
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
    return tasks::Losses{.total = loss.detach(), .parts = {}};
  };

  const auto images = at::detail::createCPUGenerator(9);
  State state;
  for (int64_t step = 0; step < steps.count; ++step) {
    graphs ? graphs->zero_gradients() : optimizer->zero_grad();
    for (int64_t micro = 0; micro < steps.accumulate; ++micro) {
      const int64_t size = steps.changes_shape && step % 3 == 2 ? 4 : 8;
      Batch batch;
      batch.fields["image"] = at::randn({size, 3, 64, 64}, images).to(gpu()).contiguous(at::MemoryFormat::ChannelsLast);
      batch.fields["label"] = at::arange(size, at::kLong).remainder(10).to(gpu());
      batch.keys.resize(static_cast<size_t>(size));
      generator.set_current_seed(static_cast<uint64_t>(100 * step + micro));
      const auto losses = graphs ? graphs->run(batch, steps.accumulate, pass) : pass(batch);
      state[format("loss.{}.{}", step, micro)] = losses.total;
    }
    if (scale) scale->unscale(optimizer->gradients());
    optimizer->step(optimizer->base(), {});
    if (scale) scale->update(at::zeros({}, at::TensorOptions(gpu())));
  }
  for (const auto& [name, value] : models::state_dict(*network)) state[name] = value.detach();
  for (auto& [name, value] : state) value = value.cpu();
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

TEST_CASE("step graphs: on a GPU, several micro-batches of a step, and two shapes in turn", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  check_same_steps({.precision = Precision::kBf16, .accumulate = 3, .count = 6}, 1);
  check_same_steps({.precision = Precision::kBf16, .count = 18, .changes_shape = true}, 2);
  CHECK_THAT(log.text(), !Contains("train.cuda_graphs"));
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
    return tasks::Losses{.total = loss.detach(), .parts = {}};
  };
  Batch batch;
  batch.fields["x"] = weight;
  const auto step = [&](StepGraphs& graphs) {
    generator.set_current_seed(5);
    graphs.zero_gradients();
    return graphs.run(batch, 1, pass).total.item<double>();
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

TEST_CASE("step graphs: on a GPU, a run is that without recordings, also resumed", "[cuda]") {
  if (no_gpu_here()) return;
  const Repeatable repeatable;
  const test::CapturedLog log;
  const auto train = [](bool with_graphs, int64_t accumulate_steps, int64_t stop_at) {
    const test::TemporaryFolder folder;
    auto config = test::tiny_config();
    config.cuda_graphs = with_graphs;
    config.accumulate_steps = accumulate_steps;
    config.ema = EmaConfig{.decay = 0.9};
    config.profile = ProfileConfig{.start = 6, .steps = 2};
    for (const int64_t last : {stop_at, int64_t{1000}}) {
      const TinyRun* running = nullptr;
      TinyRun tiny(
          folder.path(), config,
          {.stop_requested = [&] { return running && running->trainer.clock().step() >= last; }, .device = gpu()});
      running = &tiny;
      tiny.trainer.resume();
      if (tiny.trainer.run() == RunEnd::kStopped) continue;
      State state;
      for (const auto& [name, value] : models::state_dict(*tiny.net)) state[name] = value.detach().cpu();
      return state;
    }
    return State();
  };
  const int64_t accumulate_steps = GENERATE(1, 2), stop_at = GENERATE(7, 1000);
  CAPTURE(accumulate_steps, stop_at);
  const auto expected = train(false, accumulate_steps, stop_at), again = train(false, accumulate_steps, stop_at);
  const double found = difference(train(true, accumulate_steps, stop_at), expected);
  CHECK(found <= allowed(again, expected));
  CHECK_THAT(log.text(), Contains("recorded the pass of micro-batches of 4 samples") && !Contains("train.cuda_graphs"));
}

}  // namespace
}  // namespace unireplk::train
