#include "unireplk/analysis/bench.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <time.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "unireplk/analysis/floor.h"
#include "unireplk/analysis/machine.h"
#include "unireplk/core/clock.h"
#include "unireplk/core/error.h"
#include "unireplk/core/rng.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/tensor/synchronise.h"
#include "unireplk/train/optimizer.h"
#include "unireplk/train/step_graphs.h"

namespace unireplk::analysis {
namespace {

constexpr int64_t kLargeKernel = 13;  // of every published variant

double process_ms() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

void time_call(const BenchOptions& options, const std::function<void()>& run, Samples& samples) {
  const double cpu_before = process_ms();
  const Stopwatch clock;
  run();
  synchronise(options.context.device);
  samples.wall.push_back(clock.seconds() * 1e3);
  samples.cpu.push_back(process_ms() - cpu_before);
}

/// The published network, changed as the options say.
models::UniRepLKNetOptions network_options_of(const BenchOptions& options) {
  auto network_options = models::variant_options("unireplknet_" + options.variant);
  network_options.num_classes = options.classes;
  network_options.drop_path = options.drop_path;
  network_options.keep_branches = options.keep_branches;
  network_options.layer_scale_init = 1;  // that of training, 1e-6, would hide what blocks compute
  return network_options;
}

/// The same with nothing beside the large kernels.
models::UniRepLKNetOptions without_branches(models::UniRepLKNetOptions network_options) {
  network_options.branches = {{.kernel_size = kLargeKernel, .stage = {}, .branches = {}}};
  return network_options;
}

models::UniRepLKNet build(const BenchOptions& options, const models::UniRepLKNetOptions& network_options) {
  models::UniRepLKNet network(network_options);
  models::initialise(*network, at::detail::createCPUGenerator(options.context.seed));
  network->to(options.context.device);
  return network;
}

/// The same for the same seed: norms of few values make what rounding leaves of some images large.
at::Tensor random_images(const BenchOptions& options) {
  constexpr uint64_t kImages = 1;  // other numbers than those of the weights
  const auto generator = at::detail::createCPUGenerator(mix_seed({options.context.seed, kImages}));
  return at::randn({options.batch, 3, options.size, options.size}, generator)
      .to(options.context.device)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

/// Smoothed one-hot rows, as a recipe with mixing makes them.
at::Tensor soft_targets(const BenchOptions& options) {
  constexpr double kSmoothing = 0.1;
  const double off = kSmoothing / static_cast<double>(options.classes);
  auto targets = at::full({options.batch, options.classes}, off);
  const auto labels = at::arange(options.batch).remainder(options.classes).unsqueeze(1);
  return targets.scatter_(1, labels, 1 - kSmoothing + off).to(options.context.device);
}

/// The logits as the graph of the network's parts computes them.
at::Tensor logits_by_parts(models::UniRepLKNetImpl& network, const at::Tensor& images, const at::Generator& generator) {
  at::Tensor logits;
  network.observe(images, generator.clone(), [&](std::string_view part, const at::Tensor& value) {
    if (part == "head") logits = value.to(at::kDouble);
  });
  return logits;
}

/// The images with every pixel off by about the last bit of the precision.
at::Tensor off_by_last_bits(const at::Tensor& images, const BenchOptions& options) {
  constexpr uint64_t kErrors = 2;  // other numbers than those of weights and images
  const double last_bit = options.precision == train::Precision::kFp32   ? 0x1p-23
                          : options.precision == train::Precision::kFp16 ? 0x1p-10
                                                                         : 0x1p-7;
  const auto generator = at::detail::createCPUGenerator(mix_seed({options.context.seed, kErrors}));
  return images * at::randn(images.sizes(), generator).mul_(last_bit).add_(1).to(images.device());
}

/// Relative difference between the logits of the network as it runs and of the graph of its parts, which it is in.
///
/// Rounding may make it large without a fault: norms of two values and logits near 0 magnify errors. The graph of parts
/// tells how much, as its own logits change when pixels are off by last bits.
double difference_to_parts(models::UniRepLKNetImpl& network, const BenchOptions& options, const at::Tensor& images,
                           const at::Generator& generator) {
  const at::NoGradGuard no_graph;
  const AutocastGuard autocast(train::autocast_for(options.precision, options.context.device));
  const auto by_parts = logits_by_parts(network, images, generator);
  const auto logits = network.forward(images, generator.clone()).to(at::kDouble);
  const double difference = relative_difference(logits, by_parts);
  const double usual = options.precision == train::Precision::kFp32 ? 1e-2 : 0.2;
  const auto of_rounding = [&] {
    return relative_difference(logits_by_parts(network, off_by_last_bits(images, options), generator), by_parts);
  };
  constexpr double kRoundings = 8;  // those of the operators on the way, where 1 to 4 times that of the pixels was seen
  UNIREPLK_CHECK(difference <= usual || difference <= kRoundings * of_rounding(),
                 "bench: the network differs from the graph of its parts by {}", difference);
  return difference;
}

/// One training step on fixed images; calling it does one step.
class TrainStep {
 public:
  explicit TrainStep(const BenchOptions& options) : TrainStep(options, network_options_of(options)) {}

  TrainStep(const BenchOptions& options, const models::UniRepLKNetOptions& network_options)
      : network_(build(options, network_options)),
        batch_(fixed_batch(options)),
        autocast_(train::autocast_for(options.precision, options.context.device)),
        optimizer_(train::make_adamw({.lr = 1e-3}, *network_)),
        rates_(optimizer_->groups(), /*decay_on_device=*/false),
        generator_(at::globalContext().defaultGenerator(options.context.device).clone()) {
    network_->train();
  }
  TrainStep(const TrainStep&) = delete;  // a recording knows it by its address
  TrainStep& operator=(const TrainStep&) = delete;

  void operator()() {
    rates_.set(optimizer_->base());
    const auto step_of = [this](const Batch& batch) { return step(batch); };
    loss_ = (graphs_ ? graphs_->run_step(batch_, step_of) : step(batch_)).loss;
    if (!graphs_) optimizer_->zero_grad();
  }

  /// Record the step; calling it replays that from then on.
  void record(at::Device device) {
    if (!device.is_cuda()) throw UserError({"--cuda-graphs", "needs a CUDA device, got " + device.str(), ""});
    graphs_.emplace(train::make_graph_recorder(device), *network_, generator_);
    for (int64_t i = 0; i <= train::StepGraphs::kRehearsals; ++i) (*this)();
    if (graphs_->count() > 0) return;
    throw UserError({"--cuda-graphs", "the step could not be recorded", "The log says why."});
  }

  double difference_to_parts(const BenchOptions& options) {
    return analysis::difference_to_parts(*network_, options, batch_.tensor("image"), generator_);
  }

  double loss() const { return loss_.item<double>(); }

 private:
  static Batch fixed_batch(const BenchOptions& options) {
    Batch batch;
    batch.fields = {{"image", random_images(options)}, {"target", soft_targets(options)}};
    batch.keys.resize(static_cast<size_t>(options.batch));
    return batch;
  }

  train::StepValues step(const Batch& batch) {
    const at::Tensor loss = [&] {
      const AutocastGuard guard(autocast_);
      return tasks::soft_cross_entropy(network_->forward(batch.tensor("image"), generator_), batch.tensor("target"));
    }();
    loss.backward();
    optimizer_->step(rates_, {});
    return {.loss = loss.detach()};
  }

  models::UniRepLKNet network_;
  Batch batch_;
  at::Tensor loss_;
  AutocastSettings autocast_;
  std::unique_ptr<train::Optimizer> optimizer_;
  train::GroupRates rates_;
  at::Generator generator_;
  std::optional<train::StepGraphs> graphs_;
};

void add_rate(nlohmann::json& report, const BenchOptions& options) {
  report["images_per_second"] = static_cast<double>(options.batch) / report["median_ms"].get<double>() * 1e3;
}

/// \param flops  of an image
void add_floor(nlohmann::json& report, const BenchOptions& options, double flops) {
  if (options.precision != train::Precision::kFp32 || !options.context.device.is_cpu()) return;
  const double gflop = flops * static_cast<double>(options.batch) * 1e-9, peak = measure_peak_of_threads();
  const double floor_ms = gflop / peak * 1e3;
  report["floor"] = {{"gflop", gflop}, {"fma_peak_gflops", peak}, {"ms", floor_ms}};
  report["share_of_floor"] = floor_ms / report["median_ms"].get<double>();
}

}  // namespace

Samples time_calls(const BenchOptions& options, const std::function<void()>& run) {
  for (int64_t i = 0; i < options.warmup; ++i) run();
  synchronise(options.context.device);
  Samples samples;
  for (int64_t i = 0; i < options.iterations; ++i) time_call(options, run, samples);
  return samples;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

nlohmann::json bench_report(const BenchOptions& options, const Samples& samples) {
  nlohmann::json report = {{"median_ms", median(samples.wall)},
                           {"min_ms", quantile(samples.wall, 0)},
                           {"max_ms", quantile(samples.wall, 1)},
                           {"p10_ms", quantile(samples.wall, 0.1)},
                           {"p90_ms", quantile(samples.wall, 0.9)},
                           {"samples_ms", samples.wall},
                           {"peak_rss_mib", peak_memory_mib(at::kCPU)},
                           {"options",
                            {{"variant", options.variant},
                             {"batch", options.batch},
                             {"size", options.size},
                             {"classes", options.classes},
                             {"threads", options.context.threads},
                             {"precision", train::name_of(options.precision)},
                             {"device", options.context.device.str()}}},
                           {"environment", environment(options.context)}};
  if (!samples.cpu.empty()) report["cpu_ms"] = median(samples.cpu);
  return report;
}

namespace {

nlohmann::json training_report(const BenchOptions& options, const Samples& samples) {
  auto report = bench_report(options, samples);
  if (options.cuda_graphs) report["options"]["cuda_graphs"] = true;
  return report;
}

}  // namespace

nlohmann::json bench_train_step(const BenchOptions& options) {
  TrainStep step(options);
  const double difference = step.difference_to_parts(options);
  if (options.cuda_graphs) step.record(options.context.device);
  const auto samples = time_calls(options, std::ref(step));
  auto report = training_report(options, samples);
  report["difference"] = difference;
  add_floor(report, options, training_flops(network_options_of(options), options.size));
  UNIREPLK_CHECK(std::isfinite(step.loss()), "the loss became {}", step.loss());
  add_rate(report, options);
  return report;
}

nlohmann::json bench_inference(const BenchOptions& options, bool deploy) {
  auto network_options = network_options_of(options);
  network_options.deploy = deploy;
  auto network = build(options, network_options);
  network->eval();
  const auto images = random_images(options);
  const double difference =
      difference_to_parts(*network, options, images, at::globalContext().defaultGenerator(options.context.device));
  const auto samples = time_calls(options, [&] {
    const c10::InferenceMode guard;
    const AutocastGuard autocast(train::autocast_for(options.precision, options.context.device));
    network->forward(images);
  });
  auto report = bench_report(options, samples);
  report["difference"] = difference;
  add_floor(report, options, forward_flops(network_options, options.size));
  add_rate(report, options);
  return report;
}

nlohmann::json bench_branches(const BenchOptions& options) {
  TrainStep published(options), single(options, without_branches(network_options_of(options)));
  if (options.cuda_graphs) {
    published.record(options.context.device);
    single.record(options.context.device);
  }
  Samples samples, of_single;
  for (int64_t i = 0; i < options.warmup + options.iterations; ++i) {
    if (i == options.warmup) samples = of_single = {};
    time_call(options, std::ref(published), samples);
    time_call(options, std::ref(single), of_single);
  }
  auto report = training_report(options, samples);
  report["single_kernels"] = {{"median_ms", median(of_single.wall)}, {"samples_ms", of_single.wall}};
  report["branches_over_single"] = median(samples.wall) / median(of_single.wall);
  return report;
}

void first_pass(const BenchOptions& options, bool training) {
  if (training) {
    TrainStep{options}();
  } else {
    auto network = build(options, network_options_of(options));
    network->eval();
    const c10::InferenceMode guard;
    network->forward(random_images(options));
  }
  synchronise(options.context.device);
}

}  // namespace unireplk::analysis
