#include "unireplk/train/step_graphs.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cmath>
#include <map>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/temporary_folder.h"
#include "train/fake_recorder.h"
#include "train/tiny_run.h"
#include "unireplk/core/error.h"
#include "unireplk/tensor/out_of_memory.h"
#include "unireplk/train/fresh_gradients.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::FakeRecorder;
using test::Recorded;
using test::TinyRun;

/// y = sum(weight * x), where `idle` has no part, and `seen` counts passes.
struct ProductImpl : torch::nn::Module {
  ProductImpl() {
    weight = register_parameter("weight", at::full({3}, 2.0));
    idle = register_parameter("idle", at::full({2}, 1.0));
    seen = register_buffer("seen", at::zeros({}));
  }
  at::Tensor weight, idle, seen;
};

Batch batch_of(double value, int64_t rows = 2) {
  Batch batch;
  batch.fields.emplace("x", at::full({rows, 3}, value));
  batch.keys.resize(static_cast<size_t>(rows));
  return batch;
}

/// Step graphs over a network of one product.
class Product {
 public:
  explicit Product(std::function<void(const GraphRecorder::Work&)> on_record = {})
      : graphs(std::make_unique<FakeRecorder>(counts, std::move(on_record)), *network, {}) {}

  /// A step of one micro-batch; \return its loss.
  at::Tensor step(const Batch& batch, int64_t per_step = 1) {
    graphs.zero_gradients();
    return graphs.run_pass(batch, per_step, pass).loss;
  }
  void steps(const Batch& batch, int64_t count) {
    for (int64_t i = 0; i < count; ++i) step(batch);
  }

  std::shared_ptr<ProductImpl> network = std::make_shared<ProductImpl>();
  Recorded counts;
  StepGraphs graphs;
  StepGraphs::Work pass = [this](const Batch& batch) {
    const at::Tensor loss = (batch.tensor("x") * network->weight).sum();
    loss.backward();
    const at::NoGradGuard no_grad;
    network->seen.add_(1);
    return StepValues{.loss = loss.detach(), .parts = {{"part", loss.detach() * 2}}};
  };
};

TEST_CASE("step graphs: a shape is rehearsed three times, recorded once, and replayed with what a batch holds") {
  const test::CapturedLog log;
  Product product;
  for (int64_t i = 1; i <= 6; ++i) {
    const auto value = static_cast<double>(i);
    CHECK(product.step(batch_of(value)).item<double>() == 12 * value);
    CHECK(at::equal(product.network->weight.grad(), at::full({3}, 2 * value)));
    CHECK(product.network->seen.item<double>() == value);
  }
  CHECK((product.counts.rehearsals == 3 && product.counts.recordings == 1 && product.counts.replays == 3));
  CHECK(product.graphs.count() == 1);
  CHECK_THAT(log.text(), Contains("recorded the pass of batches of 2 samples"));
}

TEST_CASE("step graphs: gradients add up within a step, and stay where they are") {
  const test::CapturedLog log;
  Product product;
  const void* place = nullptr;
  for (int64_t i = 0; i < 6; ++i) {
    product.graphs.zero_gradients();
    if (i > 0) CHECK(at::equal(product.network->weight.grad(), at::zeros({3})));
    for (const double value : {1.0, 10.0}) product.graphs.run_pass(batch_of(value), 2, product.pass);
    CHECK(at::equal(product.network->weight.grad(), at::full({3}, 22.0)));
    CHECK_FALSE(product.network->idle.grad().defined());
    if (i > 1) CHECK(product.network->weight.grad().const_data_ptr() == place);
    place = product.network->weight.grad().const_data_ptr();
  }
  CHECK(product.counts.replays == 2 * 6 - 3);
}

TEST_CASE("step graphs: a pass finds no gradients, rehearsed or replayed") {
  const test::CapturedLog log;
  Product product;
  const auto pass = product.pass;
  int64_t found = 0, passes = 0;
  product.pass = [&](const Batch& batch) {
    ++passes;
    found += product.network->weight.grad().defined() ? 1 : 0;
    return pass(batch);
  };
  product.steps(batch_of(1), 5);
  CHECK(product.counts.replays == 2);
  CHECK((passes == 5 && found == 0));
}

TEST_CASE("step graphs: gradients of any memory order and type add up") {
  struct Net : torch::nn::Module {
    at::Tensor table = register_parameter("table", at::zeros({3, 2}).t());
    at::Tensor kernel = register_parameter("kernel", at::empty_strided({4, 1, 2, 2}, {4, 1, 2, 1}).zero_());
    at::Tensor exact = register_parameter("exact", at::zeros({3}, at::kDouble));
  };
  const test::CapturedLog log;
  const auto net = std::make_shared<Net>();
  Recorded counts;
  StepGraphs graphs(std::make_unique<FakeRecorder>(counts), *net, {});
  const at::Tensor of_table = at::arange(6, at::kFloat).view({2, 3});          // rows, where the parameter has columns
  const at::Tensor of_kernel = at::arange(16, at::kFloat).view({4, 1, 2, 2});  // other strides, the same order
  const at::Tensor of_exact = at::full({3}, 1 + 1e-12, at::kDouble);
  const auto pass = [&](const Batch&) {
    net->table.mutable_grad() = of_table.clone();
    net->kernel.mutable_grad() = of_kernel.clone();
    net->exact.mutable_grad() = of_exact.clone();
    return StepValues{.loss = at::zeros({})};
  };
  for (int64_t i = 0; i < 4; ++i) {
    graphs.zero_gradients();
    for (int64_t micro = 0; micro < 3; ++micro) graphs.run_pass(batch_of(1), 3, pass);
    CHECK(at::equal(net->table.grad(), 3 * of_table));
    CHECK(at::equal(net->kernel.grad(), 3 * of_kernel));
    CHECK(at::equal(net->exact.grad(), 3 * of_exact));
  }
  CHECK(counts.replays == 3 * 3);
  for (const auto& parameter : net->parameters()) CHECK(parameter.grad().strides() == parameter.strides());
}

TEST_CASE("step graphs: a parameter may have its first gradient late in a step") {
  const test::CapturedLog log;
  Product product;
  const auto pass = product.pass;
  bool is_late = false;
  product.pass = [&](const Batch& batch) {
    if (is_late) product.network->idle.sum().backward();
    return pass(batch);
  };
  product.graphs.zero_gradients();
  for (int64_t micro = 0; micro < 3; ++micro) {
    product.graphs.run_pass(batch_of(1), 3, product.pass);
    is_late = true;
  }
  CHECK(at::equal(product.network->weight.grad(), at::full({3}, 6.0)));
  CHECK(at::equal(product.network->idle.grad(), at::full({2}, 2.0)));
  product.step(batch_of(1), 3);
  CHECK((product.counts.rehearsals == 3 && product.counts.replays == 1));
  CHECK(at::equal(product.network->idle.grad(), at::ones({2})));
}

TEST_CASE("step graphs: nothing is recorded before gradients lie where they will stay") {
  const test::CapturedLog log;
  Product product;
  product.graphs.zero_gradients();
  for (int64_t i = 0; i < 5; ++i) product.graphs.run_pass(batch_of(1), 5, product.pass);
  CHECK(product.counts.rehearsals == 5);
  product.graphs.zero_gradients();
  product.graphs.run_pass(batch_of(1), 5, product.pass);
  CHECK((product.counts.recordings == 1 && product.counts.replays == 1));
}

TEST_CASE("step graphs: each shape and number of micro-batches is recorded by itself, up to four") {
  const test::CapturedLog log;
  Product product;
  const auto check = [&](const Batch& batch, int64_t per_step, bool is_recorded) {
    for (int64_t i = 0; i < 4; ++i) product.step(batch, per_step);
    const Recorded before = product.counts;
    product.step(batch, per_step);
    CHECK(product.counts.replays == before.replays + (is_recorded ? 1 : 0));
    CHECK(product.counts.rehearsals == before.rehearsals + (is_recorded ? 0 : 1));
  };
  Batch across = batch_of(1, 3);
  across.fields["x"] = at::full({3, 3}, 1.0).t();
  Batch wide = batch_of(1);
  wide.fields["x"] = at::full({2, 3}, 1.0, at::kDouble);
  check(batch_of(1), 1, true);
  check(batch_of(1), 2, true);
  check(batch_of(1, 3), 1, true);
  check(across, 1, true);  // other strides
  check(wide, 1, false);
  check(batch_of(1, 4), 1, false);
  CHECK(product.graphs.count() == 4);
  check(batch_of(3), 1, true);
  CHECK_THAT(log.text(), Contains("train.cuda_graphs: batches come in more than 4 shapes; such batches run without"));
  CHECK(log.text().find("more than", log.text().find("more than") + 1) == std::string::npos);
}

TEST_CASE("step graphs: batches of lists and with gaps run as they are, and the log says so once") {
  const test::CapturedLog log;
  Product product;
  Batch list = batch_of(1);
  list.fields.emplace("boxes", std::vector<at::Tensor>{at::ones({1})});
  product.steps(list, 6);
  CHECK((product.counts.rehearsals == 6 && product.counts.recordings == 0));
  CHECK_THAT(log.text(), Contains("train.cuda_graphs: the field \"boxes\" of a batch is a list; such batches run"));
  Batch gaps = batch_of(1);
  gaps.fields["x"] = at::full({2, 6}, 1.0).slice(1, 0, 6, 2);
  product.steps(gaps, 6);
  CHECK((product.counts.rehearsals == 12 && product.counts.recordings == 0));
  product.steps(batch_of(1), 4);
  CHECK(product.counts.replays == 1);
}

TEST_CASE("step graphs: what has moved is recorded anew") {
  const test::CapturedLog log;
  Product product;
  product.steps(batch_of(1), 5);
  product.network->weight.set_data(at::full({3}, 5.0));
  CHECK(product.step(batch_of(1)).item<double>() == 30);
  CHECK((product.counts.rehearsals == 4 && product.counts.replays == 2));
  product.steps(batch_of(1), 3);
  CHECK((product.counts.recordings == 2 && product.counts.replays == 3));
}

TEST_CASE("step graphs: losses that were handed out stay what they were") {
  const test::CapturedLog log;
  Product product;
  const at::Tensor place = at::zeros({});  // as in the memory of a recording
  product.pass = [&place](const Batch& batch) {
    place.copy_(batch.tensor("x").sum());
    return StepValues{.loss = place, .parts = {{"same", place}}};
  };
  product.steps(batch_of(0), 3);
  const auto first = product.graphs.run_pass(batch_of(1), 1, product.pass);
  const auto second = product.graphs.run_pass(batch_of(2), 1, product.pass);
  REQUIRE(product.counts.replays == 2);
  CHECK((first.loss.item<double>() == 6 && second.loss.item<double>() == 12));
  CHECK(first.parts.at(0).second.item<double>() == 6);
  CHECK(first.parts.at(0).first == "same");
}

TEST_CASE(
    "step graphs: a replay raises the versions of weights and buffers, by which caches of merged weights notice") {
  /// Replays behind the back of autograd, as a device does.
  class Silent : public FakeRecorder {
   public:
    using FakeRecorder::FakeRecorder;
    std::unique_ptr<RecordedWork> record(const Work& work, const at::Generator& drawn_from) override {
      class Nothing : public RecordedWork {
        void replay() override {}
      };
      FakeRecorder::record(work, drawn_from);
      work();  // so that there are losses
      return std::make_unique<Nothing>();
    }
  };
  const test::CapturedLog log;
  Product product;
  StepGraphs graphs(std::make_unique<Silent>(product.counts), *product.network, {});
  for (int64_t i = 0; i < 4; ++i) {
    graphs.zero_gradients();
    graphs.run_pass(batch_of(1), 1, product.pass);
  }
  REQUIRE(graphs.count() == 1);
  const auto before = product.network->seen._version(), of_weight = product.network->weight._version();
  graphs.run_pass(batch_of(1), 1, product.pass);
  CHECK(product.network->seen._version() > before);
  CHECK(product.network->weight._version() > of_weight);
}

TEST_CASE("step graphs: a recording that fails is told once, and steps go on without") {
  const test::CapturedLog log;
  Product product(
      [](const GraphRecorder::Work&) { throw std::runtime_error("this operation cannot be captured.\nX"); });
  for (int64_t i = 1; i <= 8; ++i) {
    CHECK(product.step(batch_of(static_cast<double>(i))).item<double>() == 12.0 * static_cast<double>(i));
    CHECK(at::equal(product.network->weight.grad(), at::full({3}, 2.0 * static_cast<double>(i))));
    CHECK(product.network->seen.item<double>() == static_cast<double>(i));
  }
  CHECK((product.counts.rehearsals == 3 && product.counts.recordings == 1 && product.counts.replays == 0));
  CHECK_THAT(log.text(), Contains("train.cuda_graphs: the pass could not be recorded: this operation cannot be "
                                  "captured. Steps run without graphs from here on"));
  product.graphs.zero_gradients();
  CHECK_FALSE(product.network->weight.grad().defined());  // freed again
}

TEST_CASE("step graphs: a first gradient within a recording ends recording, and leaves no gradient of it") {
  const test::CapturedLog log;
  Product product;
  StepGraphs graphs(std::make_unique<FakeRecorder>(
                        product.counts,
                        [&](const GraphRecorder::Work&) { product.network->idle.mutable_grad() = at::full({2}, 7.0); }),
                    *product.network, {});
  for (int64_t i = 0; i < 4; ++i) {
    graphs.zero_gradients();
    graphs.run_pass(batch_of(1), 1, product.pass);
  }
  CHECK(graphs.count() == 0);
  CHECK_FALSE(product.network->idle.grad().defined());
  CHECK(at::equal(product.network->weight.grad(), at::full({3}, 2.0)));
  CHECK_THAT(log.text(), Contains("a parameter had its first gradient"));
}

TEST_CASE("step graphs: clear forgets recordings and gradients, and begins anew") {
  const test::CapturedLog log;
  Product product;
  product.steps(batch_of(1), 5);
  product.graphs.clear();
  CHECK(product.graphs.count() == 0);
  CHECK_FALSE(product.network->weight.grad().defined());
  CHECK(product.step(batch_of(4)).item<double>() == 48);
  CHECK(product.counts.rehearsals == 4);
  product.steps(batch_of(1), 3);
  CHECK(product.counts.recordings == 2);
}

TEST_CASE("fresh gradients: a parameter that stands there twice keeps its sum") {
  const auto weight = at::ones({2}).requires_grad_();
  weight.mutable_grad() = at::full({2}, 3.0);
  {
    FreshGradients fresh({weight, weight});
    weight.sum().backward();
    fresh.add();
  }
  CHECK(weight.grad().equal(at::full({2}, 4.0)));
}

TEST_CASE("step graphs: an exception of a rehearsal comes through, and harms nothing") {
  const test::CapturedLog log;
  Product product;
  const auto pass = product.pass;
  const auto fails = [&](const Batch& batch) -> StepValues {
    pass(batch);  // with a gradient
    throw std::runtime_error("no memory");
  };
  product.pass = fails;
  CHECK_THROWS_WITH(product.step(batch_of(1)), "no memory");
  CHECK_FALSE(product.network->weight.grad().defined());
  product.pass = pass;
  CHECK(product.step(batch_of(1)).item<double>() == 12);
  CHECK_THROWS_WITH(product.graphs.run_pass(batch_of(5), 1, fails), "no memory");
  CHECK(at::equal(product.network->weight.grad(), at::full({3}, 2.0)));  // of the pass before
}

/// Steps of gradient descent on a product, whole.
class WholeSteps {
 public:
  explicit WholeSteps(std::function<void(const GraphRecorder::Work&)> on_record = {})
      : graphs(std::make_unique<FakeRecorder>(counts, std::move(on_record)), *network, {}) {}

  double step(const Batch& batch) { return graphs.run_step(batch, work).loss.item<double>(); }

  std::shared_ptr<ProductImpl> network = std::make_shared<ProductImpl>();
  Recorded counts;
  StepGraphs graphs;
  int64_t found = 0;  ///< gradients that there were before
  StepGraphs::Work work = [this](const Batch& batch) {
    found += network->weight.grad().defined() ? 1 : 0;
    const at::Tensor loss = (batch.tensor("x") * network->weight).sum();
    loss.backward();
    const at::NoGradGuard no_grad;
    network->weight.sub_(network->weight.grad(), 0.125);
    return StepValues{.loss = loss.detach(), .grad_norm = network->weight.grad().norm()};
  };
};

TEST_CASE("step graphs: whole steps find no gradients and leave none, rehearsed or replayed") {
  const test::CapturedLog log;
  WholeSteps steps;
  double weight = 2;
  for (int64_t i = 1; i <= 6; ++i) {
    const auto x = static_cast<double>(i);
    CHECK(steps.step(batch_of(x)) == 6 * x * weight);
    weight -= 0.125 * 2 * x;
    CHECK(at::equal(steps.network->weight, at::full({3}, weight)));
    CHECK_FALSE(steps.network->weight.grad().defined());
  }
  CHECK(steps.found == 0);
  CHECK((steps.counts.rehearsals == 3 && steps.counts.recordings == 1 && steps.counts.replays == 3));
  CHECK_THAT(log.text(), Contains("recorded the step of batches of 2 samples"));
}

TEST_CASE("step graphs: values of whole steps that were handed out stay what they were") {
  const test::CapturedLog log;
  WholeSteps steps;
  for (int64_t i = 0; i < 4; ++i) steps.step(batch_of(1));
  const auto first = steps.graphs.run_step(batch_of(1), steps.work);
  const auto second = steps.graphs.run_step(batch_of(2), steps.work);
  CHECK(first.grad_norm.item<double>() == Approx(2 * std::sqrt(3.0)));
  CHECK(second.grad_norm.item<double>() == Approx(4 * std::sqrt(3.0)));
  CHECK_FALSE(first.loss_scale.defined());
}

TEST_CASE("step graphs: a whole step and a pass of the same batches are two recordings") {
  const test::CapturedLog log;
  Product product;
  for (int64_t i = 0; i < 5; ++i) {
    product.graphs.run_step(batch_of(1), product.pass);
    product.step(batch_of(1));
  }
  CHECK(product.graphs.count() == 2);
  CHECK(at::equal(product.network->weight.grad(), at::full({3}, 2.0)));
}

void throw_for_memory() { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate 1 GiB."); }

TEST_CASE("step graphs: a shape that memory holds no recording of runs without, and the others are made anew") {
  const test::CapturedLog log;
  int64_t rows = 0;
  WholeSteps steps([&](const GraphRecorder::Work&) {
    if (rows == 3) throw_for_memory();
  });
  const auto run = [&](int64_t count) {
    rows = count;
    return steps.step(batch_of(1, count));
  };
  for (int64_t i = 0; i < 5; ++i) run(2);
  CHECK(steps.graphs.count() == 1);
  for (int64_t i = 0; i < 5; ++i) run(3);
  CHECK((steps.graphs.count() == 0 && steps.counts.recordings == 2));  // a failure spoils the others
  const Recorded before = steps.counts;
  for (int64_t i = 0; i < 3; ++i) run(2);
  for (int64_t i = 0; i < 3; ++i) run(3);
  CHECK(steps.graphs.count() == 1);
  CHECK(steps.counts.recordings == before.recordings + 1);
  CHECK(steps.counts.replays == before.replays + 3);
  CHECK(steps.counts.rehearsals == before.rehearsals + 3);
  CHECK_THAT(log.text(),
             Contains("train.cuda_graphs: memory does not hold a recording of the step (CUDA out of memory. "
                      "Tried to allocate 1 GiB); batches of this shape run without graphs"));
  CHECK(log.text().find("memory does not hold", log.text().find("memory does not hold") + 1) == std::string::npos);
}

TEST_CASE("step graphs: a lack of memory is known in words for people too") {
  const test::CapturedLog log;
  WholeSteps steps([](const GraphRecorder::Work&) { throw MemoryError({"step 4", "out of memory", ""}); });
  for (int64_t i = 0; i < 5; ++i) steps.step(batch_of(1));
  CHECK((steps.counts.rehearsals == 5 && steps.counts.recordings == 1));
  CHECK_THAT(log.text(), Contains("batches of this shape run without graphs"));
}

TEST_CASE("step graphs: what gives up runs without recordings from then on") {
  const test::CapturedLog log;
  WholeSteps steps;
  for (int64_t i = 0; i < 5; ++i) steps.step(batch_of(1));
  const Recorded before = steps.counts;
  steps.graphs.give_up("they are in the way");
  CHECK(steps.graphs.count() == 0);
  for (int64_t i = 0; i < 5; ++i) steps.step(batch_of(1));
  CHECK((steps.counts.rehearsals == before.rehearsals && steps.counts.replays == before.replays));
  CHECK(steps.network->weight[0].item<double>() == 2 - 10 * 0.25);
  CHECK_FALSE(steps.network->weight.grad().defined());
  CHECK_THAT(log.text(), Contains("train.cuda_graphs: they are in the way. Steps run without graphs from here on"));
}

/// Files of the last checkpoint, and the metrics.
std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files{{"metrics", test::content(folder / "metrics.jsonl")}};
  const auto checkpoint = CheckpointStore(folder / "checkpoints", 1).pointed("latest");
  REQUIRE(checkpoint);
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"}) {
    files[name] = test::content(*checkpoint / name);
  }
  return files;
}

void check_same_bits(const fs::path& actual, const fs::path& expected) {
  const auto files = files_of(actual);
  for (const auto& [name, bytes] : files_of(expected)) {
    INFO(name);
    CHECK((files.at(name) == bytes));
  }
}

/// An optimizer that a test derives from: what it makes is that of another.
class Other : public Optimizer {
 public:
  explicit Other(std::unique_ptr<Optimizer> made) : made_(std::move(made)) {}
  void step(const GroupRates& rates, const at::Tensor& skip) override { made_->step(rates, skip); }
  const std::vector<ParameterGroup>& groups() const override { return made_->groups(); }
  StepSettings base() const override { return made_->base(); }
  void save(StateWriter& writer) const override { made_->save(writer); }
  void load(const StateReader& reader) override { made_->load(reader); }

 private:
  std::unique_ptr<Optimizer> made_;
};

config::Choice<MakeOptimizer> choice_of(
    const std::function<std::unique_ptr<Optimizer>(const torch::nn::Module&)>& make) {
  config::Registry<MakeOptimizer> optimizers{"optimizer"};
  optimizers.add<config::Empty>(
      "other", "", [make](const config::Empty&, const torch::nn::Module& network) { return make(network); });
  return config::Choice<MakeOptimizer>::of(optimizers, "other", config::Empty{});
}

TrainConfig graphed(bool with_graphs, int64_t accumulate_steps = 1) {
  auto config = test::tiny_config();
  config.cuda_graphs = with_graphs;
  config.accumulate_steps = accumulate_steps;
  config.ema = EmaConfig{.decay = 0.9};
  config.clip_grad_norm = 1.0;
  config.log_every = 5;
  return config;
}

/// Train from what the folder holds to the end, or until `last` steps are done.
Recorded train(const fs::path& folder, const TrainConfig& config, test::TinySetting setting = {}, int64_t last = 1000,
               const std::function<void(TinyRun&)>& change = {}) {
  Recorded counts;
  const TinyRun* running = nullptr;
  setting.stop_requested = [&] { return running && running->trainer.clock().step() >= last; };
  if (!setting.make_recorder) setting.make_recorder = [&] { return std::make_unique<FakeRecorder>(counts); };
  TinyRun tiny(folder, config, setting);
  if (change) change(tiny);
  running = &tiny;
  tiny.trainer.resume();
  tiny.trainer.run();
  return counts;
}

TEST_CASE("step graphs: a run with recordings makes the bits of one without", "[numeric]") {
  const int64_t accumulate_steps = GENERATE(1, 2);
  const auto precision = GENERATE(Precision::kFp32, Precision::kBf16, Precision::kFp16);
  CAPTURE(accumulate_steps, precision);
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  auto config = graphed(true, accumulate_steps), plain = graphed(false, accumulate_steps);
  config.precision = plain.precision = precision;
  config.profile = ProfileConfig{.start = 3, .steps = 3};
  const auto counts = train(folder.path(), config, {.bad = {5}});
  train(reference.path(), plain, {.bad = {5}});
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.rehearsals == 3 && counts.recordings == 1 && counts.replays == 24 - 3));
  CHECK(fs::exists(folder / "profile" / "step_000000003.json"));
}

TEST_CASE("step graphs: a run with each optimizer and a moving weight decay makes the bits of one without",
          "[numeric]") {
  const auto make = GENERATE(0, 1, 2);
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  auto config = graphed(true), plain = graphed(false);
  config::Registry<MakeSchedule> schedules{"schedule"};
  schedules.add<CosineConfig>("cosine", "", make_cosine);
  for (auto* one : {&config, &plain}) {
    one->optimizer = choice_of([make](const torch::nn::Module& network) {
      return make == 0   ? make_adamw({.lr = 0.05, .layer_decay = 0.9}, network)
             : make == 1 ? make_adam({.lr = 0.05, .weight_decay = 0.1}, network)
                         : make_sgd({.lr = 0.05}, network);
    });
    one->schedule = config::Choice<MakeSchedule>::of(
        schedules, "cosine", CosineConfig{.warmup = {.warmup_steps = 3}, .weight_decay_end = 0.5});
  }
  const auto counts = train(folder.path(), config);
  train(reference.path(), plain);
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.recordings == 1 && counts.replays == 24 - 3));
  CHECK_THAT(log.text(), Contains("recorded the step of batches of 4 samples"));
}

TEST_CASE("step graphs: what is recorded ends before an update that cannot be, to the same bits", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  auto config = graphed(true), plain = graphed(false);
  for (auto* one : {&config, &plain}) {
    one->optimizer = choice_of(
        [](const torch::nn::Module& network) { return std::make_unique<Other>(make_adamw({.lr = 0.05}, network)); });
  }
  const auto counts = train(folder.path(), config);
  train(reference.path(), plain);
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.rehearsals == 3 && counts.recordings == 1 && counts.replays == 24 - 3));
  const std::string told =
      "train.cuda_graphs: the optimizer does not say that its update can be recorded. What is "
      "recorded of a step ends before it";
  CHECK_THAT(log.text(), Contains(told) && Contains("recorded the pass of batches of 4 samples"));
  CHECK(log.text().find(told, log.text().find(told) + 1) == std::string::npos);
}

TEST_CASE("step graphs: a run goes on with recordings or without them, to the same bits", "[numeric]") {
  const bool begins_with = GENERATE(false, true);
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  train(folder.path(), graphed(begins_with), {}, /*last=*/9);
  train(folder.path(), graphed(!begins_with));
  train(reference.path(), graphed(false));
  check_same_bits(folder.path(), reference.path());
}

TEST_CASE("step graphs: a run whose memory holds no recording makes the bits of one without", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  Recorded counts;
  const auto half_made = [](const GraphRecorder::Work&) { throw_for_memory(); };
  train(folder.path(), graphed(true),
        {.make_recorder = [&] { return std::make_unique<FakeRecorder>(counts, half_made); }});
  train(reference.path(), graphed(false));
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.rehearsals == 24 && counts.recordings == 1 && counts.replays == 0));
}

TEST_CASE("step graphs: recordings make room for a step that does not fit beside them", "[numeric]") {
  // What a replay does, and not what a rehearsal does, fails at step 10: as where another shape takes the memory.
  const auto fails_once = [failed = std::make_shared<bool>(false), calls = std::make_shared<int>(0)](
                              const tasks::Step&, const Batch&, tasks::Losses&) {
    if (++*calls == 10 && !std::exchange(*failed, true)) throw_for_memory();
  };
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  auto config = graphed(true);
  config.halve_on_out_of_memory = GENERATE(false, true);
  const auto counts = train(folder.path(), config, {.change_losses = fails_once});
  train(reference.path(), graphed(false));
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.rehearsals == 3 && counts.recordings == 1 && counts.replays == 10 - 3));
  CHECK_THAT(log.text(), Contains("train.cuda_graphs: memory does not hold a step beside the recordings (CUDA out of "
                                  "memory. Tried to allocate 1 GiB). Steps run without graphs from here on"));
}

TEST_CASE("step graphs: recordings make room for a validation that does not fit beside them", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  const auto fails_twice = [](TinyRun& tiny) {  // with the network after epoch 1, with its average after epoch 2
    tiny.task.before_evaluation = [calls = std::make_shared<int>(0)] {
      const int call = ++*calls;
      if (call == 2 || call == 13) throw_for_memory();
    };
  };
  const int64_t accumulate_steps = GENERATE(1, 2);
  auto config = graphed(true, accumulate_steps);
  const auto counts = train(folder.path(), config, {.tests = true}, 1000, fails_twice);
  train(reference.path(), graphed(false, accumulate_steps), {.tests = true});
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.rehearsals == 3 && counts.recordings == 3 && counts.replays == 24 - 3));
  CHECK_THAT(log.text(), Contains("train.cuda_graphs: memory does not hold an evaluation beside the recordings (CUDA "
                                  "out of memory. Tried to allocate 1 GiB), which are made anew after it"));
}

TEST_CASE("step graphs: a validation that memory is not enough for ends the run, with recordings or without") {
  const bool with_graphs = GENERATE(false, true);
  const test::TemporaryFolder folder;
  const test::CapturedLog log;
  int64_t tries = 0;
  const auto fails = [&](TinyRun& tiny) {
    tiny.task.before_evaluation = [&] {
      ++tries;
      throw_for_memory();
    };
  };
  CHECK_THROWS_WITH(train(folder.path(), graphed(with_graphs), {}, 1000, fails),
                    Contains("after step 6: out of memory, in fp32: CUDA out of memory"));
  CHECK(tries == (with_graphs ? 2 : 1));
}

TEST_CASE("step graphs: a divergence is told and undone where memory has no room for a look at the network") {
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  int64_t looks = 0;
  const auto spoil = [&](TinyRun& tiny) {
    tiny.task.change_batch = [spoilt = std::make_shared<int>(0)](const tasks::Step& step, Batch& batch) {
      if (step.step >= 14 && step.step <= 16 && ++*spoilt <= 3) {
        batch.fields["image"] = at::full_like(batch.tensor("image"), std::nan(""));
      }
    };
  };
  const auto spoil_and_fail = [&](TinyRun& tiny) {
    spoil(tiny);
    tiny.task.before_observing = [&] {
      ++looks;
      throw_for_memory();
    };
  };
  auto config = graphed(true), plain = graphed(false);
  for (auto* one : {&config, &plain}) {
    one->guard = {.max_skipped = 2, .then = WhenDiverged::kRollBack};
    one->log_every = 1;
    one->checkpoint.every_steps = 4;
  }
  const auto counts = train(folder.path(), config, {}, 1000, spoil_and_fail);
  CHECK(looks == 2);  // beside the recordings, and without them
  CHECK(counts.recordings == 2);
  CHECK_THAT(log.text(), Contains("3 steps in a row: training has diverged\n") && Contains("rolled back to"));
  train(reference.path(), plain, {}, 1000, spoil);
  check_same_bits(folder.path(), reference.path());
}

TEST_CASE("step graphs: an update that memory is not enough for ends the run, and is not begun anew") {
  struct Greedy : Other {
    using Other::Other;
    std::string unrecordable() const override { return ""; }
    void step(const GroupRates& rates, const at::Tensor& skip) override {
      Other::step(rates, skip);
      if (++steps == 2) throw_for_memory();
    }
    int64_t steps = 0;
  };
  const bool with_graphs = GENERATE(false, true);
  const test::TemporaryFolder folder;
  const test::CapturedLog log;
  const Greedy* greedy = nullptr;
  auto config = graphed(with_graphs);
  config.halve_on_out_of_memory = true;
  config.optimizer = choice_of([&](const torch::nn::Module& network) {
    auto made = std::make_unique<Greedy>(make_adamw({}, network));
    greedy = made.get();
    return made;
  });
  Recorded counts;
  TinyRun tiny(folder.path(), config, {.make_recorder = [&] { return std::make_unique<FakeRecorder>(counts); }});
  CHECK_THROWS_WITH(tiny.trainer.run(), Contains("step 2: out of memory, in fp32: CUDA out of memory"));
  CHECK(greedy->steps == 2);
}

TEST_CASE("step graphs: a run with recordings is resumed to the same bits", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  train(folder.path(), graphed(true), {}, /*last=*/9);
  const auto counts = train(folder.path(), graphed(true));
  train(reference.path(), graphed(false));
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.rehearsals == 3 && counts.replays == 24 - 9 - 3));
}

TEST_CASE("step graphs: steps that are skipped or rolled back leave the same bits", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  const auto spoil = [spoilt = std::make_shared<int>(0)](TinyRun& tiny) {
    *spoilt = 0;
    tiny.task.change_batch = [spoilt](const tasks::Step& step, Batch& batch) {
      const bool is_hit = step.step == 6 || (step.step >= 14 && step.step <= 16 && ++*spoilt <= 4);
      if (is_hit) batch.fields["image"] = at::full_like(batch.tensor("image"), std::nan(""));
    };
  };
  auto config = graphed(true), plain = graphed(false);
  for (auto* one : {&config, &plain}) {
    one->guard = {.max_skipped = 2, .then = WhenDiverged::kRollBack};
    one->log_every = 1;
    one->checkpoint.every_steps = 4;
  }
  const auto counts = train(folder.path(), config, {}, 1000, spoil);
  CHECK_THAT(log.text(), Contains("rolled back to"));
  train(reference.path(), plain, {}, 1000, spoil);
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.recordings == 1 && counts.replays > 20));
}

TEST_CASE("step graphs: halves after a lack of memory are recorded anew, to the same bits", "[numeric]") {
  const auto small = [](const tasks::Step&, const Batch& batch, tasks::Losses&) {
    TORCH_CHECK_WITH(OutOfMemoryError, batch.size() <= 2, "CUDA out of memory.");
  };
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  auto config = graphed(true), plain = graphed(false);
  config.halve_on_out_of_memory = plain.halve_on_out_of_memory = true;
  const auto counts = train(folder.path(), config, {.change_losses = small});
  train(reference.path(), plain, {.change_losses = small});
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.rehearsals == 1 + 3 && counts.recordings == 1 && counts.replays == 48 - 3));
}

TEST_CASE("step graphs: a run whose recording fails makes the bits of one without", "[numeric]") {
  const test::TemporaryFolder folder, reference;
  const test::CapturedLog log;
  Recorded counts;
  const auto fails = [](const GraphRecorder::Work&) { throw std::runtime_error("not on this device"); };
  train(folder.path(), graphed(true, 2),
        {.make_recorder = [&] { return std::make_unique<FakeRecorder>(counts, fails); }});
  train(reference.path(), graphed(false, 2));
  check_same_bits(folder.path(), reference.path());
  CHECK((counts.recordings == 1 && counts.replays == 0));
  CHECK_THAT(log.text(), Contains("the pass could not be recorded: not on this device. Steps run without graphs"));
}

TEST_CASE("step graphs: a task that cannot be recorded trains without, and the log says why") {
  const test::TemporaryFolder folder;
  const test::CapturedLog log;
  struct Deciding : test::TinyTask {
    using TinyTask::TinyTask;
    std::string unrecordable() const override { return "it looks at the step"; }
  };
  Recorded counts;
  TinyRun tiny(folder.path());
  Deciding task(tiny.net, tiny.dataset.info, {});
  const test::TemporaryFolder other;
  const RunFolder run_folder(other.path(), /*resume=*/true);
  Trainer trainer(graphed(true), {.task = task,
                                  .train_data = tiny.loader,
                                  .batches_per_epoch = 6,
                                  .folder = run_folder,
                                  .context = tiny.context,
                                  .recorder = std::make_unique<FakeRecorder>(counts)});
  CHECK(trainer.run() == RunEnd::kFinished);
  CHECK((counts.rehearsals == 0 && counts.recordings == 0));
  CHECK_THAT(log.text(), Contains("train.cuda_graphs: it looks at the step. Steps run without graphs"));
}

TEST_CASE("step graphs: a run on a CPU is refused before anything is written") {
  const test::TemporaryFolder folder;
  TinyRun tiny(folder.path());
  CHECK_THROWS_WITH(check_trainable(graphed(true), tiny.task, 6, true, at::kCPU),
                    "train.cuda_graphs: needs a CUDA device, and the run is on cpu. Leave cuda_graphs out, or write "
                    "device: cuda.");
  check_trainable(graphed(true), tiny.task, 6, true, at::Device(at::kCUDA, 0));
  CHECK_THROWS_AS(make_graph_recorder(at::kCPU), ContractError);
}

}  // namespace
}  // namespace unireplk::train
