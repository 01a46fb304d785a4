#include "unireplk/analysis/bench.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sys/resource.h>
#include <torch/nn/module.h>
#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "unireplk/core/clock.h"
#include "unireplk/core/cpu_features.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/train/optimizer.h"

namespace unireplk::analysis {
namespace {

constexpr int64_t kLargeKernel = 13;  // of every published variant

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

double peak_rss_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

void synchronise(at::Device device) {
  if (device.is_cuda()) {
    const c10::impl::VirtualGuardImpl guard(device.type());
    guard.synchronizeDevice(device.index());
  }
}

/// Milliseconds.
double time_call(const BenchOptions& options, const std::function<void()>& run) {
  const Stopwatch clock;
  run();
  synchronise(options.context.device);
  return clock.seconds() * 1e3;
}

/// The published network, changed as the options say.
models::UniRepLKNetOptions network_options_of(const BenchOptions& options) {
  auto network_options = models::variant_options("unireplknet_" + options.variant);
  network_options.num_classes = options.classes;
  network_options.drop_path = options.drop_path;
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

at::Tensor random_images(const BenchOptions& options) {
  return at::randn({options.batch, 3, options.size, options.size})
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

/// One training step on fixed images; calling it does one step.
class TrainStep {
 public:
  explicit TrainStep(const BenchOptions& options) : TrainStep(options, network_options_of(options)) {}

  TrainStep(const BenchOptions& options, const models::UniRepLKNetOptions& network_options)
      : network_(build(options, network_options)),
        images_(random_images(options)),
        targets_(soft_targets(options)),
        autocast_(train::autocast_for(options.precision, options.context.device)),
        optimizer_(train::make_adamw({.lr = 1e-3}, *network_)),
        generator_(at::globalContext().defaultGenerator(options.context.device).clone()) {
    network_->train();
  }

  void operator()() {
    {
      const AutocastGuard guard(autocast_);
      loss_ = tasks::soft_cross_entropy(network_->forward(images_, generator_), targets_);
    }
    loss_.backward();
    optimizer_->step(optimizer_->base(), {});
    optimizer_->zero_grad();
  }

  double loss() const { return loss_.item<double>(); }

 private:
  models::UniRepLKNet network_;
  at::Tensor images_, targets_, loss_;
  AutocastSettings autocast_;
  std::unique_ptr<train::Optimizer> optimizer_;
  at::Generator generator_;
};

nlohmann::json environment(const BenchOptions& options) {
  return {{"libtorch", TORCH_VERSION},
          {"cpu", cpu_name()},
          {"isa", best_instruction_set()},
          {"threads", at::get_num_threads()},
          {"device", describe_device(options.context.device)}};
}

void add_rate(nlohmann::json& report, const BenchOptions& options) {
  report["images_per_second"] = static_cast<double>(options.batch) / report["median_ms"].get<double>() * 1e3;
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<double> time_calls(const BenchOptions& options, const std::function<void()>& run) {
  for (int64_t i = 0; i < options.warmup; ++i) run();
  synchronise(options.context.device);
  std::vector<double> samples;
  for (int64_t i = 0; i < options.iterations; ++i) samples.push_back(time_call(options, run));
  return samples;
}

nlohmann::json bench_report(const BenchOptions& options, const std::vector<double>& samples_ms) {
  const auto [least, most] = std::minmax_element(samples_ms.begin(), samples_ms.end());
  return {{"median_ms", median(samples_ms)},
          {"min_ms", *least},
          {"max_ms", *most},
          {"samples_ms", samples_ms},
          {"peak_rss_mib", peak_rss_mib()},
          {"options",
           {{"variant", options.variant},
            {"batch", options.batch},
            {"size", options.size},
            {"classes", options.classes},
            {"threads", options.context.threads},
            {"precision", train::name_of(options.precision)},
            {"device", options.context.device.str()}}},
          {"environment", environment(options)}};
}

nlohmann::json bench_train_step(const BenchOptions& options) {
  TrainStep step(options);
  const auto samples = time_calls(options, std::ref(step));
  auto report = bench_report(options, samples);
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
  const auto samples = time_calls(options, [&] {
    const c10::InferenceMode guard;
    const AutocastGuard autocast(train::autocast_for(options.precision, options.context.device));
    network->forward(images);
  });
  auto report = bench_report(options, samples);
  add_rate(report, options);
  return report;
}

nlohmann::json bench_branches(const BenchOptions& options) {
  TrainStep published(options), single(options, without_branches(network_options_of(options)));
  std::vector<double> samples, single_samples;
  for (int64_t i = 0; i < options.warmup + options.iterations; ++i) {
    const double time = time_call(options, std::ref(published)), single_time = time_call(options, std::ref(single));
    if (i < options.warmup) continue;
    samples.push_back(time);
    single_samples.push_back(single_time);
  }
  auto report = bench_report(options, samples);
  report["single_kernels"] = {{"median_ms", median(single_samples)}, {"samples_ms", single_samples}};
  report["branches_over_single"] = median(samples) / median(single_samples);
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
