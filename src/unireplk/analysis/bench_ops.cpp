#include "unireplk/analysis/bench_ops.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>

#include "unireplk/analysis/floor.h"
#include "unireplk/analysis/machine.h"
#include "unireplk/core/clock.h"
#include "unireplk/core/error.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/nn/branches.h"
#include "unireplk/ops/depthwise_conv2d.h"
#include "unireplk/ops/dilated_reparam.h"
#include "unireplk/tensor/autocast.h"
#include "unireplk/tensor/synchronise.h"

namespace unireplk::analysis {
namespace {

constexpr int64_t kKernel = 13;
constexpr int64_t kLaunches = 20;  // of a GPU in a row, for one alone takes less time than its launch

/// What an operator does not come about without.
struct Need {
  double flops = 0;     ///< two for each tap that meets the map
  double loops_ms = 0;  ///< that our loops take alone, on all threads of the CPU
  double moved_gb = 0;  ///< of maps, each time that one is read or written
};

/// One operator as three ways to compute it: ours, LibTorch in channels_last, LibTorch in contiguous memory.
struct Contest {
  std::string name;
  Need need;
  std::array<std::function<at::Tensor()>, 3> sides;
};

/// What a CPU does at most, on all threads; 0 of other devices.
struct Limits {
  double peak = 0;    ///< GFLOP/s
  double copies = 0;  ///< GB/s
};

struct Summary {
  double median, least, low, high, most;

  explicit Summary(const std::vector<double>& samples)
      : median(analysis::median(samples)),
        least(quantile(samples, 0)),
        low(quantile(samples, 0.1)),
        high(quantile(samples, 0.9)),
        most(quantile(samples, 1)) {}

  nlohmann::json json() const {
    return {{"median", median}, {"least", least}, {"p10", low}, {"p90", high}, {"most", most}};
  }
};

/// Mean of some calls in a row, in ms.
double time_side(const std::function<at::Tensor()>& side, at::Device device) {
  const int64_t calls = device.is_cuda() ? kLaunches : 1;
  const Stopwatch clock;
  for (int64_t i = 0; i < calls; ++i) side();
  synchronise(device);
  return clock.seconds() * 1e3 / static_cast<double>(calls);
}

/// What LibTorch makes of it in float32 as written; cuDNN rounds to TF32 otherwise.
at::Tensor judged(const std::function<at::Tensor()>& side) {
  const bool before = at::globalContext().allowTF32CuDNN();
  at::globalContext().setAllowTF32CuDNN(false);
  auto result = side().to(at::kDouble);
  at::globalContext().setAllowTF32CuDNN(before);
  return result;
}

nlohmann::json hold(const Contest& contest, const BenchOptions& options, const Limits& limits) {
  const auto judge = judged(contest.sides[1]);
  const double difference = relative_difference(contest.sides[0]().to(at::kDouble), judge);
  const double largest = options.precision == train::Precision::kFp32 ? 1e-4 : 2e-2;
  UNIREPLK_CHECK(difference <= largest, "bench ops: {}: results differ by {}", contest.name, difference);
  std::array<std::vector<double>, 3> samples;
  for (int64_t i = 0; i < options.warmup + options.iterations; ++i) {
    for (size_t side = 0; side < samples.size(); ++side) {
      const double milliseconds = time_side(contest.sides[side], options.context.device);
      if (i >= options.warmup) samples[side].push_back(milliseconds);
    }
  }
  const Summary ours(samples[0]), channels_last(samples[1]), contiguous(samples[2]);
  const auto& better = channels_last.median < contiguous.median ? channels_last : contiguous;
  const double gflops = contest.need.flops / ours.median * 1e-6;
  nlohmann::json entry{{"name", contest.name},
                       {"ours_ms", ours.json()},
                       {"channels_last_ms", channels_last.json()},
                       {"contiguous_ms", contiguous.json()},
                       {"times_better", better.median / ours.median},
                       {"spreads_apart", ours.high < better.low || better.high < ours.low},
                       {"difference", difference},
                       {"gflops", gflops}};
  if (limits.peak > 0) {
    entry["share_of_peak"] = gflops / limits.peak;
    entry["loops_ms"] = contest.need.loops_ms;
    entry["moved_ms"] = contest.need.moved_gb / limits.copies * 1e3;
  }
  return entry;
}

at::Tensor in_layout(const at::Tensor& map, size_t side) {
  return map.clone(side == 2 ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast);
}

// ---- kernels

/// One of a block's kernels on a map, and its loops with all threads at work.
struct Kernel {
  kernels::KernelShape shape;
  double flops;  ///< of one channel of one image
  kernels::LoopTimes loops;
};

/// The large one, then those of the branches.
std::vector<Kernel> kernels_on(const at::Tensor& x) {
  std::vector<Kernel> all;
  const auto add = [&](int64_t size, int64_t dilation) {
    const kernels::MapShape map{.images = x.size(0), .height = x.size(2), .width = x.size(3), .channels = x.size(1)};
    const kernels::KernelShape shape{.size = size, .dilation = dilation};
    all.push_back({.shape = shape,
                   .flops = 2 * useful_taps(x.size(2), size, dilation),
                   .loops = x.is_cpu() ? measure_loops_of_threads(map, shape) : kernels::LoopTimes{}});
  };
  add(kKernel, 1);
  for (const auto& branch : nn::default_branches(kKernel)) add(branch.kernel, branch.dilation);
  return all;
}

/// Of as many convolutions and gradients with each kernel, that read or write as many maps like x.
Need need_of(const at::Tensor& x, std::span<const Kernel> kernels, int convolutions, int gradients, int maps) {
  const auto planes = static_cast<double>(x.size(0) * x.size(1));
  const double of_thread = planes / at::get_num_threads();
  Need need{.moved_gb = maps * static_cast<double>(x.nbytes()) * 1e-9};
  for (const auto& [shape, flops, loops] : kernels) {
    need.flops += planes * (convolutions + gradients) * flops;
    need.loops_ms += of_thread * (convolutions * loops.convolution + gradients * loops.gradient) * 1e-6;
  }
  return need;
}

/// How fast the loops of a kernel are, and their share of what a thread does at most.
nlohmann::json loops_entry(const std::string& name, const Kernel& kernel, const Limits& limits) {
  const double peak = limits.peak / at::get_num_threads();
  const auto pace = [&](double ns) {
    return nlohmann::json{{"us", ns * 1e-3}, {"share_of_peak", kernel.flops / ns / peak}};
  };
  return {{"name", format("{} {}x{} dilation {}", name, kernel.shape.size, kernel.shape.size, kernel.shape.dilation)},
          {"convolution", pace(kernel.loops.convolution)},
          {"gradient", pace(kernel.loops.gradient)}};
}

// ---- the passes of a convolution

/// The backward pass of y alone, as often as it is called: the gradient of `input`, the one tensor that y is of.
std::function<at::Tensor()> gradient_of(const at::Tensor& y, const at::Tensor& input, const at::Tensor& dy) {
  return [=] {
    input.mutable_grad().reset();
    y.backward(dy, /*retain_graph=*/true);
    return input.grad();
  };
}

void add_convolutions(std::vector<Contest>& contests, const std::string& name, const at::Tensor& x,
                      const Kernel& large) {
  const int64_t channels = x.size(1), half = kKernel / 2;
  const auto weight = at::randn({channels, 1, kKernel, kKernel}, x.options().dtype(at::kFloat));
  const auto narrow_weight = weight.to(x.scalar_type()), dy = at::randn_like(x);
  const Need of_map = need_of(x, {&large, 1}, 1, 0, 2), of_weights = need_of(x, {&large, 1}, 0, 1, 2);
  const auto backward = [=](size_t side, std::array<bool, 3> mask) {
    return [=, map = in_layout(x, side), gradient = in_layout(dy, side)] {
      const auto [dx, dw, db] = at::convolution_backward(gradient, map, narrow_weight, {}, {1, 1}, {half, half}, {1, 1},
                                                         false, {0, 0}, channels, mask);
      return mask[0] ? dx : dw;
    };
  };
  const auto forward = [=](size_t side) {
    return [=, map = in_layout(x, side)] {
      return at::conv2d(map, narrow_weight, {}, {1, 1}, {half, half}, {1, 1}, channels);
    };
  };
  const auto our_gradient = [=](const at::Tensor& map, const at::Tensor& kernel, const at::Tensor& input) {
    const at::AutoGradMode with_graph(true);
    input.requires_grad_();
    return gradient_of(ops::depthwise_conv2d(map, kernel, {}, 1), input, dy);
  };
  const auto map = in_layout(x, 0), kernel = weight.clone();
  contests.push_back({name + " 13x13 forward",
                      of_map,
                      {[=] { return ops::depthwise_conv2d(x, weight, {}, 1); }, forward(1), forward(2)}});
  contests.push_back(
      {name + " 13x13 backward-data",
       of_map,
       {our_gradient(map, weight, map), backward(1, {true, false, false}), backward(2, {true, false, false})}});
  contests.push_back(
      {name + " 13x13 backward-weights",
       of_weights,
       {our_gradient(x, kernel, kernel), backward(1, {false, true, false}), backward(2, {false, true, false})}});
}

// ---- the block

ops::DilatedReparam make_block(int64_t channels, at::Device device) {
  const auto options = at::TensorOptions(device).dtype(at::kFloat);
  const auto norm = [&] {
    return ops::NormTensors{.weight = at::ones({channels}, options).requires_grad_(),
                            .bias = at::zeros({channels}, options).requires_grad_(),
                            .running_mean = at::zeros({channels}, options),
                            .running_var = at::ones({channels}, options)};
  };
  ops::DilatedReparam block{.branches = {}, .outer = norm(), .eps = 1e-5, .momentum = 0.1};
  const auto add = [&](int64_t kernel, int64_t dilation) {
    const auto weight = at::randn({channels, 1, kernel, kernel}, options).mul_(0.1);
    block.branches.push_back({weight.requires_grad_(), dilation, norm()});
  };
  add(kKernel, 1);
  for (const auto& branch : nn::default_branches(kKernel)) add(branch.kernel, branch.dilation);
  return block;
}

/// As before a step of a training.
void forget_gradients(const ops::DilatedReparam& block) {
  const auto forget = [](const ops::NormTensors& norm) {
    norm.weight.mutable_grad().reset();
    norm.bias.mutable_grad().reset();
  };
  for (const auto& branch : block.branches) {
    branch.weight.mutable_grad().reset();
    forget(branch.norm);
  }
  forget(block.outer);
}

at::Tensor branch_graph(const ops::DilatedReparam& block, const at::Tensor& x) {
  const auto normalise = [&](const at::Tensor& map, const ops::NormTensors& norm) {
    return at::batch_norm(map, norm.weight, norm.bias, norm.running_mean, norm.running_var, true, block.momentum,
                          block.eps, false);
  };
  at::Tensor sum;
  for (const auto& [weight, dilation, norm] : block.branches) {
    const int64_t padding = dilation * (weight.size(2) / 2);
    const auto y =
        normalise(at::conv2d(x, weight, {}, {1, 1}, {padding, padding}, {dilation, dilation}, x.size(1)), norm);
    sum = sum.defined() ? sum + y : y;
  }
  return normalise(sum, block.outer);
}

/// Forward convolves with all kernels, backward again, with the transposed ones and for their gradients. Operations are
/// counted as of the way that folds the kernels forward and correlates backward, once more each with the large one.
Need need_of_block(const at::Tensor& x, std::span<const Kernel> kernels) {
  Need need = need_of(x, kernels, 3, 1, 5);
  need.flops += 2 * need_of(x, kernels.first(1), 1, 0, 0).flops;
  return need;
}

void add_block(std::vector<Contest>& contests, const std::string& name, const at::Tensor& x,
               std::span<const Kernel> kernels) {
  const auto block = make_block(x.size(1), x.device());
  if (!ops::can_fuse(block, x, /*batch_statistics=*/true)) {
    throw UserError({"bench ops",
                     format("expected maps that the block has a kernel for, got {} x {} in the last stages; the block "
                            "runs as the graph of its parts there",
                            x.size(2), x.size(3)),
                     "Take larger images: with --size 193 or more every map has at least 7 x 7 pixels."});
  }
  const auto dy = at::randn_like(x);
  const auto step = [=](size_t side, auto forward) {
    return [=, map = in_layout(x, side).requires_grad_(), gradient = in_layout(dy, side)]() mutable {
      const at::AutoGradMode with_graph(true);
      map.mutable_grad().reset();
      forget_gradients(block);
      forward(block, map).backward(gradient);
      return map.grad();
    };
  };
  const auto fused = [](const auto& b, const at::Tensor& map) { return ops::fused_dilated_reparam(b, map, true); };
  contests.push_back({name + " block forward and backward",
                      need_of_block(x, kernels),
                      {step(0, fused), step(1, branch_graph), step(2, branch_graph)}});
}

}  // namespace

nlohmann::json bench_ops(const BenchOptions& options) {
  const at::NoGradGuard no_graph;
  const auto settings = train::autocast_for(options.precision, options.context.device);
  const AutocastGuard autocast(settings);
  const auto map_options =
      at::TensorOptions(options.context.device).dtype(settings.enabled ? settings.dtype : at::kFloat);
  const auto dims = models::variant_options("unireplknet_" + options.variant).dims;
  const bool on_cpu = options.context.device.is_cpu();
  const Limits limits = on_cpu ? Limits{measure_peak_of_threads(), measure_copies_of_threads()} : Limits{};
  std::vector<Contest> contests;
  auto loops = nlohmann::json::array();
  for (size_t stage = 1; stage < 4; ++stage) {
    const int64_t scale = int64_t{4} << stage, side = (options.size + scale - 1) / scale, channels = dims[stage];
    const auto x =
        at::randn({options.batch, channels, side, side}, map_options).contiguous(at::MemoryFormat::ChannelsLast);
    const auto name = format("{}x{}x{}", side, side, channels);
    const auto kernels = kernels_on(x);
    add_block(contests, name, x, kernels);
    add_convolutions(contests, name, x, kernels.front());
    for (const auto& kernel : kernels) loops.push_back(loops_entry(name, kernel, limits));
  }
  auto entries = nlohmann::json::array();
  for (const auto& contest : contests) entries.push_back(hold(contest, options, limits));
  nlohmann::json report{{"batch", options.batch},
                        {"variant", options.variant},
                        {"precision", train::name_of(options.precision)},
                        {"environment", environment(options.context)},
                        {"ops", entries}};
  if (on_cpu) {
    report.update({{"fma_peak_gflops", limits.peak}, {"copies_gb_per_second", limits.copies}, {"loops", loops}});
  }
  return report;
}

}  // namespace unireplk::analysis
