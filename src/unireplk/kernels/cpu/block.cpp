#include "unireplk/kernels/block.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "unireplk/core/error.h"
#include "unireplk/kernels/cpu/block_plan.h"
#include "unireplk/kernels/cpu/plane.h"
#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/block.cpp"
#include <hwy/foreach_target.h>
// behind it
#include "unireplk/kernels/cpu/block_algebra-inl.h"
#include "unireplk/kernels/cpu/block_passes-inl.h"
#include "unireplk/kernels/cpu/branch_kernels-inl.h"

#if HWY_ONCE
namespace unireplk::kernels {
namespace {

HWY_EXPORT(statistics_task);
HWY_EXPORT(variance_task);
HWY_EXPORT(apply_task);
HWY_EXPORT(combine_task);
HWY_EXPORT(correlation_task);
HWY_EXPORT(recall_task);
HWY_EXPORT(gradient_task);
HWY_EXPORT(pack_branch_filters);
HWY_EXPORT(merge_kernels);
HWY_EXPORT(branch_products);
HWY_EXPORT(finish_kernel_gradients);
HWY_EXPORT(merge_line);
HWY_EXPORT(variances_of_sum);
HWY_EXPORT(output_factors);
HWY_EXPORT(finish_norm_gradients);

/// The parts of a workspace. Either pass has filters, sums of its tasks, what follows from them for each vector of
/// channels, and in backward the sums of a second round of tasks: of all lines or, where one task takes a whole line,
/// of the line that a worker is at.
class Workspace {
 public:
  Workspace(const BlockPlan& plan, std::span<float> space, int64_t workers, bool by_lines)
      : plan_(plan),
        by_lines_(by_lines),
        workers_(space.data()),
        sums_(workers_ + workers * plan.worker()),
        of_vectors_(sums_ + tasks(plan, workers) * plan.vectors * sum_floats(plan)),
        filters_(of_vectors_ + lines(plan, workers) * plan.vectors * vector_floats(plan)),
        gradients_(filters_ + lines(plan, workers) * plan.vectors * plan.filters()) {
    UNIREPLK_CHECK(static_cast<int64_t>(space.size()) >= floats(plan, workers), "workspace of {} floats, expected {}",
                   space.size(), floats(plan, workers));
  }

  static int64_t floats(const BlockPlan& plan, int64_t workers) {
    return workers * plan.worker() + tasks(plan, workers) * plan.vectors * (sum_floats(plan) + plan.filters()) +
           lines(plan, workers) * plan.vectors * (vector_floats(plan) + plan.filters());
  }

  bool by_lines() const { return by_lines_; }
  float* scratch(int64_t worker) const { return workers_ + worker * plan_.worker(); }

  float* moments(int64_t task, int64_t worker) const { return sums_ + part(task, worker) * plan_.moments(); }
  float* correlation(int64_t task, int64_t worker) const { return sums_ + part(task, worker) * plan_.correlation(); }
  float* merged(int64_t line, int64_t worker) const { return of_vectors_ + part(line, worker) * plan_.merged(); }
  float* coefficients(int64_t line, int64_t worker) const {
    return of_vectors_ + part(line, worker) * plan_.coefficients();
  }
  float* filters(int64_t line, int64_t worker) const { return filters_ + part(line, worker) * plan_.filters(); }
  float* gradients(int64_t task, int64_t worker) const { return gradients_ + part(task, worker) * plan_.filters(); }

 private:
  static int64_t sum_floats(const BlockPlan& plan) { return std::max(plan.moments(), plan.correlation()); }
  static int64_t vector_floats(const BlockPlan& plan) { return std::max(plan.merged(), plan.coefficients()); }
  static int64_t tasks(const BlockPlan& plan, int64_t workers) { return std::max(plan.grid.tasks(), workers); }
  static int64_t lines(const BlockPlan& plan, int64_t workers) { return std::max(plan.grid.lines, workers); }

  int64_t part(int64_t task_or_line, int64_t worker) const {
    return (by_lines_ ? worker : task_or_line) * plan_.vectors;
  }

  const BlockPlan& plan_;
  bool by_lines_;
  float *workers_, *sums_, *of_vectors_, *filters_, *gradients_;
};

/// Write the filters of a line.
void pack_kernels(const BlockPlan& plan, const BlockWeights& weights, int64_t line, float* filters) {
  const float* kernels[kMaxBranches] = {};
  for (size_t b = 0; b < weights.branches.size(); ++b) kernels[b] = weights.branches[b].weight;
  HWY_DYNAMIC_DISPATCH(pack_branch_filters)(plan, kernels, line, filters);
}

/// Call visit(vector) for the vectors of a line that have channels.
void for_each_vector(const BlockPlan& plan, int64_t line, const auto& visit) {
  for (int64_t v = 0; v < plan.vectors && plan.channels(line, v).first < plan.map.channels; ++v) visit(v);
}

/// The kept branches of a task, or null.
float* kept_of(const BlockPlan& plan, const BlockMemory& memory, int64_t task) {
  return memory.branches ? memory.branches + task * plan.kept_task() : nullptr;
}

/// The steps of forward, each for a task or a line; what they leave for the next is in the workspace and in `memory`.
class Forward {
 public:
  Forward(const BlockShape& shape, const BlockPlan& plan, const PlaneFunctions& planes, const BlockWeights& weights,
          const RunningStatistics* running, const float* x, float* y, const BlockMemory& memory,
          const Workspace& workspace)
      : shape_(shape),
        plan_(plan),
        planes_(planes),
        weights_(weights),
        running_(running),
        x_(x),
        y_(y),
        memory_(memory),
        workspace_(workspace),
        cancels_(static_cast<size_t>(plan.map.channels)),
        of_sum_(static_cast<size_t>(2 * plan.map.channels)),
        pixels_(plan.pixels(plan.map.images)) {}

  /// One task for all steps of a line: its planes stay in the caches, and the branches need no second convolution.
  BlockCounts run_lines(const Parallel& parallel) {
    std::atomic<int64_t> cancelled = 0;
    parallel.run(plan_.grid.lines, [&](int64_t line, int64_t worker) {
      pack(line, worker);
      take_statistics(line, worker);
      merge(line, worker);
      const int64_t of_line = set_variances(line, worker);
      if (of_line == 0) return combine(line, worker);
      cancelled += of_line;
      replace_variances(line);
      fold(line, worker);
      apply(line, worker);
    });
    return {.pixels = pixels_, .cancelled = cancelled};
  }

  /// One round of tasks for each step, between which the other processes are heard.
  BlockCounts run_rounds(const Parallel& parallel, const OtherBatches& others) {
    const int64_t lines = plan_.grid.lines, tasks = plan_.grid.tasks();
    const double own_pixels = pixels_;
    parallel.run(lines, [&](int64_t line, int64_t worker) { pack(line, worker); });
    parallel.run(tasks, [&](int64_t task, int64_t worker) { take_statistics(task, worker); });
    parallel.run(lines, [&](int64_t line, int64_t worker) { merge(line, worker); });
    if (others.merge) {
      const auto rows = static_cast<size_t>((plan_.count + plan_.products()) * plan_.map.channels);
      pixels_ = others.merge(plan_.count, own_pixels, {memory_.moments, rows});
    }
    std::atomic<int64_t> cancelled = 0;
    parallel.run(lines, [&](int64_t line, int64_t worker) { cancelled += set_variances(line, worker); });
    if (cancelled > 0) {
      if (others.merge) others.merge(1, own_pixels, of_sum_);
      for (int64_t line = 0; line < lines; ++line) replace_variances(line);
    }
    parallel.run(lines, [&](int64_t line, int64_t worker) { fold(line, worker); });
    parallel.run(tasks, [&](int64_t task, int64_t worker) { apply(task, worker); });
    return {.pixels = pixels_, .cancelled = cancelled};
  }

 private:
  void pack(int64_t line, int64_t worker) const {
    pack_kernels(plan_, weights_, line, workspace_.filters(line, worker));
  }

  void take_statistics(int64_t task, int64_t worker) const {
    HWY_DYNAMIC_DISPATCH(statistics_task)
    (planes_, plan_, workspace_.filters(plan_.grid.line(task), worker), x_, workspace_.by_lines() ? y_ : nullptr, task,
     kept_of(plan_, memory_, task), workspace_.moments(task, worker), workspace_.scratch(worker));
  }

  void merge(int64_t line, int64_t worker) const {
    const float* partials = workspace_.moments(line * plan_.grid.chunks, worker);
    HWY_DYNAMIC_DISPATCH(merge_line)(plan_, line, partials, memory_.moments);
  }

  /// Set the variance of the sum of branches from their moments, where branches cancel from the sum itself, which is
  /// left in of_sum_.
  /// \return  channels that cancel.
  int64_t set_variances(int64_t line, int64_t worker) {
    int64_t cancelled = 0;
    for_each_vector(plan_, line, [&](int64_t v) { cancelled += set_variances(line, v, worker); });
    return cancelled;
  }

  int64_t set_variances(int64_t line, int64_t vector, int64_t worker) {
    const auto [first, end] = plan_.channels(line, vector);
    alignas(64) double slopes[kMaxBranches * kMaxLanes];
    bool cancels[kMaxLanes];
    HWY_DYNAMIC_DISPATCH(variances_of_sum)
    (plan_, shape_.eps, weights_, line, vector, memory_.moments, slopes, cancels);
    const int64_t cancelled = std::count(cancels, cancels + (end - first), true);
    std::copy_n(cancels, end - first, cancels_.begin() + first);
    if (cancelled == 0) return 0;
    alignas(64) float of_sum[2 * kMaxLanes];
    float *kernel = merged(line, vector, worker), *scratch = workspace_.scratch(worker);
    HWY_DYNAMIC_DISPATCH(merge_kernels)(plan_, filters(line, vector, worker), slopes, kernel, scratch);
    HWY_DYNAMIC_DISPATCH(variance_task)(planes_, plan_, kernel, x_, line, vector, of_sum, scratch);
    for (int64_t channel = first; channel < end; ++channel) {
      if (!cancels[channel - first]) continue;
      of_sum_[static_cast<size_t>(channel)] = of_sum[channel - first];
      of_sum_[static_cast<size_t>(plan_.map.channels + channel)] = of_sum[plan_.lanes + channel - first];
    }
    return cancelled;
  }

  /// Where branches cancel, set the variance of their sum to that in of_sum_.
  void replace_variances(int64_t line) const {
    const int64_t channels = plan_.map.channels, end = std::min((line + 1) * kMaxLanes, channels);
    float* variances = memory_.moments + (plan_.count + plan_.products()) * channels;
    for (int64_t channel = line * kMaxLanes; channel < end; ++channel) {
      const auto i = static_cast<size_t>(channel);
      if (cancels_[i] != 0) variances[channel] = of_sum_[static_cast<size_t>(channels) + i];
    }
  }

  /// To the one kernel that branches and norms come to.
  void fold(int64_t line, int64_t worker) const {
    for_each_vector(plan_, line, [&](int64_t v) {
      alignas(64) double factors[kMaxBranches * kMaxLanes];
      float* kernel = merged(line, v, worker);
      set_output_factors(line, v, factors, kernel + plan_.large().taps * plan_.lanes);
      HWY_DYNAMIC_DISPATCH(merge_kernels)
      (plan_, filters(line, v, worker), factors, kernel, workspace_.scratch(worker));
    });
  }

  void apply(int64_t task, int64_t worker) const {
    HWY_DYNAMIC_DISPATCH(apply_task)
    (planes_, plan_, workspace_.merged(plan_.grid.line(task), worker), x_, y_, task, workspace_.scratch(worker));
  }

  /// What fold and apply do, from the branches.
  void combine(int64_t line, int64_t worker) const {
    for_each_vector(plan_, line, [&](int64_t v) {
      alignas(64) double factors[kMaxBranches * kMaxLanes];
      float* of_vector = merged(line, v, worker);
      set_output_factors(line, v, factors, of_vector + plan_.count * plan_.lanes);
      std::transform(factors, factors + plan_.count * plan_.lanes, of_vector,
                     [](double factor) { return static_cast<float>(factor); });
    });
    HWY_DYNAMIC_DISPATCH(combine_task)
    (plan_, workspace_.merged(line, worker), kept_of(plan_, memory_, line), y_, line, workspace_.scratch(worker));
  }

  void set_output_factors(int64_t line, int64_t v, double* factors, float* bias) const {
    HWY_DYNAMIC_DISPATCH(output_factors)
    (plan_, shape_.eps, weights_, line, v, memory_.moments, pixels_, running_, factors, bias);
  }

  const float* filters(int64_t line, int64_t v, int64_t worker) const {
    return workspace_.filters(line, worker) + v * plan_.filters();
  }
  float* merged(int64_t line, int64_t v, int64_t worker) const {
    return workspace_.merged(line, worker) + v * plan_.merged();
  }

  const BlockShape& shape_;
  const BlockPlan& plan_;
  const PlaneFunctions& planes_;
  const BlockWeights& weights_;
  const RunningStatistics* running_;
  const float* x_;
  float* y_;
  const BlockMemory& memory_;
  const Workspace& workspace_;
  std::vector<char> cancels_;  ///< of each channel
  std::vector<float> of_sum_;  ///< [2][channels], where branches cancel: mean and variance of their sum
  double pixels_;              ///< of all processes
};

/// The steps of backward, as those of forward.
class Backward {
 public:
  Backward(const BlockShape& shape, const BlockPlan& plan, const PlaneFunctions& planes, const BlockWeights& weights,
           const BlockMemory& memory, double pixels, const float* x, const float* dy, const BlockGradients& gradients,
           const Workspace& workspace)
      : shape_(shape),
        plan_(plan),
        planes_(planes),
        weights_(weights),
        memory_(memory),
        pixels_(pixels),
        x_(x),
        dy_(dy),
        gradients_(gradients),
        workspace_(workspace),
        products_(static_cast<size_t>((plan.count + 1) * plan.map.channels)) {}

  void run_lines(const Parallel& parallel) {
    parallel.run(plan_.grid.lines, [&](int64_t line, int64_t worker) {
      pack(line, worker);
      recall(line, worker);
      finish_norms(line, worker);
      take_gradients(line, worker);
      finish_kernels(line, worker);
    });
  }

  void run_rounds(const Parallel& parallel, const OtherBatches& others) {
    const int64_t lines = plan_.grid.lines, tasks = plan_.grid.tasks();
    parallel.run(lines, [&](int64_t line, int64_t worker) { pack(line, worker); });
    parallel.run(tasks, [&](int64_t task, int64_t worker) { correlate(task, worker); });
    parallel.run(lines, [&](int64_t line, int64_t worker) { multiply(line, worker); });
    if (others.add) others.add(products_);
    parallel.run(lines, [&](int64_t line, int64_t worker) { finish_norms(line, worker); });
    parallel.run(tasks, [&](int64_t task, int64_t worker) { take_gradients(task, worker); });
    parallel.run(lines, [&](int64_t line, int64_t worker) { finish_kernels(line, worker); });
  }

 private:
  void pack(int64_t line, int64_t worker) const {
    pack_kernels(plan_, weights_, line, workspace_.filters(line, worker));
  }

  void correlate(int64_t task, int64_t worker) const {
    HWY_DYNAMIC_DISPATCH(correlation_task)
    (planes_, plan_, x_, dy_, task, workspace_.correlation(task, worker), workspace_.scratch(worker));
  }

  /// From the correlation with the large kernel's taps to the products with the branches.
  void multiply(int64_t line, int64_t worker) {
    const float* correlation = workspace_.correlation(line * plan_.grid.chunks, worker);
    for_each_vector(plan_, line, [&](int64_t v) {
      alignas(64) double of_vector[(kMaxBranches + 1) * kMaxLanes];
      HWY_DYNAMIC_DISPATCH(branch_products)
      (plan_, workspace_.filters(line, worker) + v * plan_.filters(), correlation + v * plan_.correlation(), of_vector,
       workspace_.scratch(worker));
      const auto [first, end] = plan_.channels(line, v);
      for (int64_t row = 0; row <= plan_.count; ++row) {
        std::copy_n(of_vector + row * plan_.lanes, end - first, products_.begin() + row * plan_.map.channels + first);
      }
    });
  }

  /// What correlate and multiply do, from the branches.
  void recall(int64_t line, int64_t worker) {
    float* sums = workspace_.correlation(line, worker);
    HWY_DYNAMIC_DISPATCH(recall_task)
    (planes_, plan_, workspace_.filters(line, worker), memory_.moments, x_, dy_, line, kept_of(plan_, memory_, line),
     sums, workspace_.scratch(worker));
    for_each_vector(plan_, line, [&](int64_t v) {
      const auto [first, end] = plan_.channels(line, v);
      for (int64_t channel = first; channel < end; ++channel) {
        const float* of_channel = sums + v * plan_.correlation() + channel - first;
        const double sum_dy = of_channel[plan_.count * plan_.lanes];
        for (int64_t b = 0; b < plan_.count; ++b) {
          const double mean = memory_.moments[b * plan_.map.channels + channel];
          product(b, channel) = of_channel[b * plan_.lanes] + mean * sum_dy;
        }
        product(plan_.count, channel) = sum_dy;
      }
    });
  }

  /// The gradients of norms, and what those of the branches are made with.
  void finish_norms(int64_t line, int64_t worker) const {
    for_each_vector(plan_, line, [&](int64_t v) {
      alignas(64) double of_vector[(kMaxBranches + 1) * kMaxLanes] = {};
      const auto [first, end] = plan_.channels(line, v);
      for (int64_t row = 0; row <= plan_.count; ++row) {
        std::copy_n(products_.begin() + row * plan_.map.channels + first, end - first, of_vector + row * plan_.lanes);
      }
      HWY_DYNAMIC_DISPATCH(finish_norm_gradients)
      (plan_, shape_.eps, weights_, line, v, memory_.moments, pixels_, of_vector, gradients_,
       workspace_.coefficients(line, worker) + v * plan_.coefficients());
    });
  }

  void take_gradients(int64_t task, int64_t worker) const {
    const int64_t line = plan_.grid.line(task);
    HWY_DYNAMIC_DISPATCH(gradient_task)
    (planes_, plan_, workspace_.filters(line, worker), workspace_.coefficients(line, worker), x_, dy_, gradients_.x,
     task, kept_of(plan_, memory_, task), workspace_.by_lines(), workspace_.gradients(task, worker),
     workspace_.scratch(worker));
  }

  void finish_kernels(int64_t line, int64_t worker) const {
    float* of_kernels[kMaxBranches] = {};
    for (size_t b = 0; b < gradients_.branches.size(); ++b) of_kernels[b] = gradients_.branches[b].weight;
    HWY_DYNAMIC_DISPATCH(finish_kernel_gradients)
    (plan_, line, workspace_.gradients(line * plan_.grid.chunks, worker), of_kernels, workspace_.scratch(worker));
  }

  double& product(int64_t row, int64_t channel) {
    return products_[static_cast<size_t>(row * plan_.map.channels + channel)];
  }

  const BlockShape& shape_;
  const BlockPlan& plan_;
  const PlaneFunctions& planes_;
  const BlockWeights& weights_;
  const BlockMemory& memory_;
  double pixels_;
  const float* x_;
  const float* dy_;
  const BlockGradients& gradients_;
  const Workspace& workspace_;
  std::vector<double> products_;  ///< [count + 1][channels]: sums of dy times each branch, and of dy
};

void count_batch(const RunningStatistics& running) {
  const auto count = [](const RunningNorm& norm) {
    if (norm.batches) ++*norm.batches;
  };
  std::for_each(running.branches.begin(), running.branches.end(), count);
  count(running.outer);
}

}  // namespace

int64_t BlockShape::taps() const {
  int64_t sum = 0;
  for (const auto& branch : branches) sum += branch.taps();
  return sum;
}

int64_t BlockShape::moment_rows() const { return count() + count() * (count() + 1) / 2 + 1; }

int64_t block_workspace(const BlockShape& shape, int64_t workers) {
  return Workspace::floats(BlockPlan(shape, plane_functions().lanes), workers);
}

int64_t kept_branches(const BlockShape& shape) { return BlockPlan(shape, plane_functions().lanes).kept(); }

BlockCounts block_forward(const BlockShape& shape, const BlockWeights& weights, const RunningStatistics* running,
                          const float* x, float* y, const BlockMemory& memory, std::span<float> space,
                          const Parallel& parallel, const OtherBatches& others) {
  const auto planes = plane_functions();
  const BlockPlan plan(shape, planes.lanes);
  const bool by_lines = plan.lines_stay && !others.merge;
  const Workspace workspace(plan, space, parallel.workers, by_lines);
  Forward forward(shape, plan, planes, weights, running, x, y, memory, workspace);
  const auto counts = by_lines ? forward.run_lines(parallel) : forward.run_rounds(parallel, others);
  if (running) count_batch(*running);
  return counts;
}

void block_backward(const BlockShape& shape, const BlockWeights& weights, const BlockMemory& memory, double pixels,
                    const float* x, const float* dy, const BlockGradients& gradients, std::span<float> space,
                    const Parallel& parallel, const OtherBatches& others) {
  const auto planes = plane_functions();
  const BlockPlan plan(shape, planes.lanes);
  const bool by_lines = plan.lines_stay && !others.add;
  const Workspace workspace(plan, space, parallel.workers, by_lines);
  Backward backward(shape, plan, planes, weights, memory, pixels, x, dy, gradients, workspace);
  by_lines ? backward.run_lines(parallel) : backward.run_rounds(parallel, others);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
