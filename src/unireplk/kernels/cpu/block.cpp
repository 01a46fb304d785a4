#include "unireplk/kernels/block.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "unireplk/core/error.h"
#include "unireplk/kernels/cpu/block_algebra.h"
#include "unireplk/kernels/cpu/block_plan.h"
#include "unireplk/kernels/cpu/plane.h"
#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/block.cpp"
#include <hwy/foreach_target.h>
// behind it
#include "unireplk/kernels/cpu/branch_kernels-inl.h"
#include "unireplk/kernels/cpu/channels-inl.h"
#include "unireplk/kernels/cpu/moments-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

/// The scratch of one task: planes of one vector, filters of all that it has.
struct Scratch {
  Scratch(const BlockPlan& plan, float* start) : plane_floats(plan.layouts.floats()) {
    Arena arena(start);
    x = arena.take(plane_floats);
    dy = arena.take(plane_floats);
    result = arena.take(plane_floats);
    branches = arena.take(plane_floats * plan.count);
    flipped = arena.take(plan.vectors * plan.filters());
    sums = arena.take(plan.filters());
    moments = arena.take(plan.moments());
    if (plan.layouts.is_padded()) fill_zero(x, plane_floats * (plan.count + 3));
  }

  float* branch(int64_t b) const { return branches + b * plane_floats; }

  int64_t plane_floats;
  float *x, *dy, *result;  ///< planes
  float* branches;         ///< planes, one a branch
  float *flipped, *sums;
  float* moments;
};

Term term_of(const BlockPlan& plan, int64_t b, const float* plane, const float* filters) {
  const auto& branch = plan.branches[b];
  return {plane + plan.layouts.first_pixel(), filters + branch.first_tap * kLanes, branch.size, branch.dilation};
}

HWY_ALIGN constexpr float kZeros[kLanes] = {};
constexpr Pixels<const float> kNothing{kZeros, 0, 0};

/// Every branch of the plane in scratch.x, with the filters of its vector, to planes one behind the other.
void convolve_branches(const PlaneFunctions& planes, const BlockPlan& plan, const PlaneLayout& layout,
                       const float* filters, const Scratch& scratch, float* branches, const Upcoming& upcoming) {
  for (int64_t b = 0; b < plan.count; ++b) {
    planes.convolve(layout, term_of(plan, b, scratch.x, filters), kNothing,
                    pixels_of(layout, branches + b * scratch.plane_floats), b == 0 ? upcoming : Upcoming());
  }
}

/// Forward 1: moments of the branches over a chunk of images.
/// \param filters  of the line
/// \param kept     all branches, written, or null
void statistics_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const float* x,
                     int64_t task, float* kept, float* moments, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  fill_zero(moments, plan.vectors * plan.moments());
  float pixels = 0;
  for (int64_t image = place.first_image; image < place.end_image;) {
    const auto& layout = plan.layouts.of(place.end_image - image);
    const auto more = static_cast<float>(layout.pixels());
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      pack_plane(layout, x + place.offset(image, vector), plan.map.channels, vector.count, scratch.x);
      float* branches = kept ? kept + plan.kept_start(task, v, image - place.first_image) : scratch.branches;
      convolve_branches(planes, plan, layout, filters + v * plan.filters(), scratch, branches,
                        place.after(image, layout.images, v, x));
      moments_of(layout, branches, plan.count, scratch.plane_floats, scratch.moments);
      merge_moments(plan.count, pixels, more, scratch.moments, moments + v * plan.moments());
    }
    image += layout.images;
    pixels += more;
  }
}

/// Mean and variance [2][lanes], over all images, of vector `v` of a line convolved with `filters` of the large
/// kernel's size.
void variance_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const float* x,
                   int64_t line, int64_t v, float* of_sum, float* start) {
  const Scratch scratch(plan, start);
  const Term term{scratch.x + plan.layouts.first_pixel(), filters, plan.large().size, plan.large().dilation};
  HWY_ALIGN float moments[2 * kLanes] = {};
  float pixels = 0;
  const Place place(plan.map, plan.grid, line * plan.grid.chunks);
  const auto vector = place.vector(v);
  for (int64_t image = 0; image < plan.map.images;) {
    const auto& layout = plan.layouts.of(plan.map.images - image);
    const auto more = static_cast<float>(layout.pixels());
    pack_plane(layout, x + place.offset(image, vector), plan.map.channels, vector.count, scratch.x);
    planes.convolve(layout, term, kNothing, pixels_of(layout, scratch.result), {});
    moments_of(layout, scratch.result, 1, 0, scratch.moments);
    merge_moments(1, pixels, more, scratch.moments, moments);
    image += layout.images;
    pixels += more;
  }
  store(load(moments), of_sum);
  store(hn::Mul(load(moments + kLanes), all(1.0F / pixels)), of_sum + kLanes);
}

/// Forward 2: one convolution with the merged kernels [taps][lanes] and, behind each, its bias.
void apply_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* merged, const float* x, float* y,
                int64_t task, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  for (int64_t image = place.first_image; image < place.end_image;) {
    const auto& layout = plan.layouts.of(place.end_image - image);
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      const int64_t offset = place.offset(image, vector);
      pack_plane(layout, x + offset, plan.map.channels, vector.count, scratch.x);
      const float* kernel = merged + v * plan.merged();
      const Term term{scratch.x + layout.first_pixel(), kernel, plan.large().size, plan.large().dilation};
      convolve_image(planes, layout, term, {kernel + plan.large().taps * kLanes, 0, 0}, y + offset, plan.map.channels,
                     vector.count, scratch.result, place.after(image, layout.images, v, x));
    }
    image += layout.images;
  }
}

/// Backward 1: correlation of dy with x at every tap of the large kernel and, behind it, the sum of dy.
void correlation_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* x, const float* dy,
                      int64_t task, float* sums, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  fill_zero(sums, plan.vectors * plan.correlation());
  for (int64_t image = place.first_image; image < place.end_image;) {
    const auto& layout = plan.layouts.of(place.end_image - image);
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      const int64_t offset = place.offset(image, vector);
      pack_plane(layout, x + offset, plan.map.channels, vector.count, scratch.x);
      pack_plane(layout, dy + offset, plan.map.channels, vector.count, scratch.dy);
      float* of_vector = sums + v * plan.correlation();
      float* total = of_vector + plan.large().taps * kLanes;
      add_correlation(planes, layout, scratch.dy, scratch.x, plan.large().size, plan.large().dilation, scratch.sums,
                      of_vector, place.after(image, layout.images, v, x, dy));
      store(hn::Add(load(total), sum_plane(layout, scratch.dy)), total);
    }
    image += layout.images;
  }
}

template <int kFrom, int kCount>
HWY_INLINE Vec weighted_sum(const Vec (&values)[kCount], const float* coefficients, Vec sum) {
  if constexpr (kFrom < kCount) {
    const Vec slope = load(coefficients + (kFrom * kRowsOfBranch + kSlope) * kLanes);
    return weighted_sum<kFrom + 1>(values, coefficients, hn::MulAdd(slope, values[kFrom], sum));
  }
  return sum;
}

template <int kFrom, int kCount>
HWY_INLINE void store_gradients(const Vec (&values)[kCount], const float* coefficients, Vec inner, float* pixel,
                                int64_t stride) {
  if constexpr (kFrom < kCount) {
    const float* of_branch = coefficients + kFrom * kRowsOfBranch * kLanes;
    const Vec scaled = hn::Mul(load(of_branch + kGradientScale * kLanes), inner);
    store(hn::NegMulAdd(load(of_branch + kSpread * kLanes), values[kFrom], scaled), pixel + kFrom * stride);
    store_gradients<kFrom + 1>(values, coefficients, inner, pixel, stride);
  }
}

/// From kCount branches of an image to their gradients, which may take their place.
template <int kCount>
void differentiate(const PlaneLayout& layout, const float* coefficients, const float* means, const float* dy,
                   const float* branches, float* gradients, int64_t stride) {
  const Vec mean_dy = load(coefficients + kCount * kRowsOfBranch * kLanes);
  const Vec of_sum = load(coefficients + (kCount * kRowsOfBranch + 1) * kLanes);
  for (int64_t y = 0; y < layout.height; ++y) {
    int64_t pixel = y * layout.row_floats() + layout.first_pixel();
    for (int64_t x = 0; x < layout.width; ++x, pixel += kLanes) {
      Vec centred[kCount];
      load_centred<0>(centred, branches + pixel, stride, means);
      const Vec sum = weighted_sum<0>(centred, coefficients, zero());
      const Vec inner = hn::NegMulAdd(of_sum, sum, hn::Sub(load(dy + pixel), mean_dy));
      store_gradients<0>(centred, coefficients, inner, gradients + pixel, stride);
    }
  }
}

/// To scratch.branches.
void differentiate_branches(const BlockPlan& plan, const PlaneLayout& layout, const float* coefficients,
                            const Scratch& scratch, const float* branches) {
  using Differentiate =
      void (*)(const PlaneLayout&, const float*, const float*, const float*, const float*, float*, int64_t);
  static constexpr Differentiate kDifferentiate[kMaxBranches] = {differentiate<1>, differentiate<2>, differentiate<3>,
                                                                 differentiate<4>, differentiate<5>, differentiate<6>,
                                                                 differentiate<7>, differentiate<8>};
  HWY_ALIGN float means[kMaxBranches * kLanes];
  for (int64_t b = 0; b < plan.count; ++b) {
    store(load(coefficients + (b * kRowsOfBranch + kMean) * kLanes), means + b * kLanes);
  }
  kDifferentiate[plan.count - 1](layout, coefficients, means, scratch.dy, branches, scratch.branches,
                                 scratch.plane_floats);
}

/// Add what branch b has in dx, its gradient convolved with its flipped kernel, to what later branches have: from the
/// last branch down to the first, with which the sum is written to `to`, a vector of a plane's images, of which there
/// are `count` channels. What is in scratch.dy is lost.
void add_transposed(const PlaneFunctions& planes, const BlockPlan& plan, const PlaneLayout& layout, int64_t b,
                    const float* filters, const Scratch& scratch, float* to, int64_t count) {
  float* const sums[2] = {scratch.result, layout.overlaps() ? scratch.dy : scratch.result};
  const bool last = b == plan.count - 1;
  const auto start = last ? kNothing : pixels_of<const float>(layout, sums[(b + 1) % 2]);
  const Term term = term_of(plan, b, scratch.branch(b), filters);
  if (b > 0) {
    planes.convolve(layout, term, start, pixels_of(layout, sums[b % 2]), {});
  } else {
    convolve_image(planes, layout, term, start, to, plan.map.channels, count, scratch.result, {});
  }
}

/// Backward 2: gradients of x (unless dx is null) and, summed over a chunk of images, of all kernels.
/// \param filters  of the line
/// \param kept     all branches, or null
void gradient_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const float* coefficients,
                   const float* x, const float* dy, float* dx, int64_t task, const float* kept, float* sums,
                   float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  for (int64_t v = 0; v < place.vectors; ++v) {
    for (int64_t b = 0; b < plan.count; ++b) {
      const int64_t first = v * plan.filters() + plan.branches[b].first_tap * kLanes;
      flip_filters(filters + first, plan.branches[b].taps, scratch.flipped + first);
    }
  }
  fill_zero(sums, plan.vectors * plan.filters());
  for (int64_t image = place.first_image; image < place.end_image;) {
    const auto& layout = plan.layouts.of(place.end_image - image);
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      const int64_t offset = place.offset(image, vector), first_filter = v * plan.filters();
      pack_plane(layout, x + offset, plan.map.channels, vector.count, scratch.x);
      pack_plane(layout, dy + offset, plan.map.channels, vector.count, scratch.dy);
      const float* branches = kept ? kept + plan.kept_start(task, v, image - place.first_image) : scratch.branches;
      if (!kept) {
        const auto upcoming = place.after(image, layout.images, v, x, dy);
        convolve_branches(planes, plan, layout, filters + first_filter, scratch, scratch.branches, upcoming);
      }
      differentiate_branches(plan, layout, coefficients + v * plan.coefficients(), scratch, branches);
      for (int64_t b = plan.count - 1; b >= 0; --b) {  // both while the branch is in the nearest cache
        const auto& branch = plan.branches[b];
        if (dx) {
          add_transposed(planes, plan, layout, b, scratch.flipped + first_filter, scratch, dx + offset, vector.count);
        }
        add_correlation(planes, layout, scratch.branch(b), scratch.x, branch.size, branch.dilation, scratch.sums,
                        sums + first_filter + branch.first_tap * kLanes);
      }
    }
    image += layout.images;
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {
namespace {

HWY_EXPORT(statistics_task);
HWY_EXPORT(variance_task);
HWY_EXPORT(apply_task);
HWY_EXPORT(correlation_task);
HWY_EXPORT(gradient_task);
HWY_EXPORT(pack_branch_filters);
HWY_EXPORT(merge_kernels);
HWY_EXPORT(branch_products);
HWY_EXPORT(finish_kernel_gradients);

/// The parts of a workspace. Either pass has filters, sums of its tasks, what follows from them for each vector of
/// channels, and in backward the sums of a second round of tasks.
class Workspace {
 public:
  Workspace(const BlockPlan& plan, std::span<float> space, int64_t workers)
      : plan_(plan),
        workers_(space.data()),
        sums_(workers_ + workers * plan.worker()),
        of_vectors_(sums_ + plan.grid.tasks() * plan.vectors * sum_floats(plan)),
        filters_(of_vectors_ + plan.grid.lines * plan.vectors * vector_floats(plan)),
        gradients_(filters_ + plan.grid.lines * plan.vectors * plan.filters()) {
    UNIREPLK_CHECK(static_cast<int64_t>(space.size()) >= floats(plan, workers), "workspace of {} floats, expected {}",
                   space.size(), floats(plan, workers));
  }

  static int64_t floats(const BlockPlan& plan, int64_t workers) {
    return workers * plan.worker() + plan.grid.tasks() * plan.vectors * (sum_floats(plan) + plan.filters()) +
           plan.grid.lines * plan.vectors * (vector_floats(plan) + plan.filters());
  }

  float* worker(int64_t i) const { return workers_ + i * plan_.worker(); }
  float* moments(int64_t task) const { return sums_ + task * plan_.vectors * plan_.moments(); }
  float* correlation(int64_t task) const { return sums_ + task * plan_.vectors * plan_.correlation(); }
  float* merged(int64_t line) const { return of_vectors_ + line * plan_.vectors * plan_.merged(); }
  float* coefficients(int64_t line) const { return of_vectors_ + line * plan_.vectors * plan_.coefficients(); }
  float* filters(int64_t line) const { return filters_ + line * plan_.vectors * plan_.filters(); }
  float* gradients(int64_t task) const { return gradients_ + task * plan_.vectors * plan_.filters(); }

 private:
  static int64_t sum_floats(const BlockPlan& plan) { return std::max(plan.moments(), plan.correlation()); }
  static int64_t vector_floats(const BlockPlan& plan) { return std::max(plan.merged(), plan.coefficients()); }

  const BlockPlan& plan_;
  float *workers_, *sums_, *of_vectors_, *filters_, *gradients_;
};

/// Fill workspace.filters.
void pack_kernels(const BlockPlan& plan, const BlockWeights& weights, const Workspace& workspace,
                  const Parallel& parallel) {
  const float* kernels[kMaxBranches] = {};
  for (size_t b = 0; b < weights.branches.size(); ++b) kernels[b] = weights.branches[b].weight;
  const auto pack = HWY_DYNAMIC_DISPATCH(pack_branch_filters);
  parallel.run(plan.grid.lines, [&](int64_t line, int64_t) { pack(plan, kernels, line, workspace.filters(line)); });
}

/// What lies between the two passes of forward over the map, for one vector of channels at a time.
class Folder {
 public:
  Folder(const PlaneFunctions& planes, const BlockShape& shape, const BlockPlan& plan, const BlockWeights& weights,
         const float* x, float* moments)
      : planes_(planes),
        shape_(shape),
        plan_(plan),
        weights_(weights),
        x_(x),
        moments_(moments),
        cancels_(static_cast<size_t>(plan.map.channels)) {}

  /// Set the variance of the sum of branches from their moments, where branches cancel from the sum itself.
  /// \param filters  of the vector
  /// \param merged   of the vector, any content
  /// \param own      [2][channels]: written where branches cancel, the mean and variance of the sum
  /// \return         channels that cancel.
  int64_t set_variances(int64_t line, int64_t vector, const float* filters, float* merged, float* scratch, float* own) {
    const auto [first, end] = plan_.channels(line, vector);
    alignas(64) double factors[kMaxBranches * kMaxLanes] = {};
    int64_t cancelled = 0;
    for (int64_t channel = first; channel < end; ++channel) {
      bool cancels = false;
      const auto norms = norms_of(channel);
      set_variance_of_sum(plan_, moments_, channel, variance_of_sum(plan_, norms, of(channel), cancels));
      set_factors(norms, 1, channel - first, factors);
      cancels_[static_cast<size_t>(channel)] = cancels ? 1 : 0;
      cancelled += cancels ? 1 : 0;
    }
    if (cancelled == 0) return 0;
    alignas(64) float of_sum[2 * kMaxLanes];
    HWY_DYNAMIC_DISPATCH(merge_kernels)(plan_, filters, factors, merged, scratch);
    HWY_DYNAMIC_DISPATCH(variance_task)(planes_, plan_, merged, x_, line, vector, of_sum, scratch);
    for (int64_t channel = first; channel < end; ++channel) {
      if (!cancels(channel)) continue;
      own[channel] = of_sum[channel - first];
      own[plan_.map.channels + channel] = of_sum[plan_.lanes + channel - first];
    }
    return cancelled;
  }

  /// Where branches cancel, set the variance of their sum to this one, [channels].
  void replace_variances(const float* variances) {
    for (int64_t channel = 0; channel < plan_.map.channels; ++channel) {
      if (cancels(channel)) set_variance_of_sum(plan_, moments_, channel, variances[channel]);
    }
  }

  /// \param merged   written: kernel and bias of the vector
  /// \param running  or null
  void fold(int64_t line, int64_t vector, const float* filters, double pixels, const RunningStatistics* running,
            float* merged, float* scratch) const {
    const auto [first, end] = plan_.channels(line, vector);
    alignas(64) double factors[kMaxBranches * kMaxLanes] = {};
    float* bias = merged + plan_.large().taps * plan_.lanes;
    std::fill(bias, bias + plan_.lanes, 0.0F);
    for (int64_t channel = first; channel < end; ++channel) {
      const auto norms = norms_of(channel);
      set_factors(norms, norms.outer_slope, channel - first, factors);
      bias[channel - first] = static_cast<float>(merged_bias(plan_, weights_, norms, of(channel), channel));
      if (running) update_running(plan_, weights_, of(channel), channel, pixels, *running);
    }
    HWY_DYNAMIC_DISPATCH(merge_kernels)(plan_, filters, factors, merged, scratch);
  }

 private:
  void set_factors(const ChannelNorms& norms, double scale, int64_t lane, double* factors) const {
    for (int64_t b = 0; b < plan_.count; ++b) factors[b * plan_.lanes + lane] = scale * norms.slope[b];
  }

  bool cancels(int64_t channel) const { return cancels_[static_cast<size_t>(channel)] != 0; }
  ChannelMoments of(int64_t channel) const { return {plan_, moments_, channel}; }
  ChannelNorms norms_of(int64_t channel) const { return {plan_, shape_.eps, weights_, of(channel), channel}; }

  const PlaneFunctions& planes_;
  const BlockShape& shape_;
  const BlockPlan& plan_;
  const BlockWeights& weights_;
  const float* x_;
  float* moments_;
  std::vector<char> cancels_;  ///< of each channel
};

/// Call task(line, vector, worker) for every vector of channels.
void run_vectors(const BlockPlan& plan, const Parallel& parallel, const auto& task) {
  parallel.run(plan.grid.lines, [&](int64_t line, int64_t worker) {
    for (int64_t v = 0; v < plan.vectors; ++v) task(line, v, worker);
  });
}

/// Call task(channel) for every channel.
void run_channels(const BlockPlan& plan, const Parallel& parallel, const auto& task) {
  parallel.run(plan.grid.lines, [&](int64_t line, int64_t) {
    const int64_t end = std::min((line + 1) * kMaxLanes, plan.map.channels);
    for (int64_t channel = line * kMaxLanes; channel < end; ++channel) task(channel);
  });
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
  const Workspace workspace(plan, space, parallel.workers);
  const auto filters = [&](int64_t line, int64_t v) { return workspace.filters(line) + v * plan.filters(); };
  const auto merged = [&](int64_t line, int64_t v) { return workspace.merged(line) + v * plan.merged(); };
  pack_kernels(plan, weights, workspace, parallel);
  const auto statistics = HWY_DYNAMIC_DISPATCH(statistics_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    statistics(planes, plan, workspace.filters(plan.grid.line(task)), x, task, memory.branches, workspace.moments(task),
               workspace.worker(worker));
  });
  const int64_t channels = plan.map.channels;
  run_channels(plan, parallel, [&](int64_t channel) {
    merge_moments(plan, channel, workspace.moments(channel / kMaxLanes * plan.grid.chunks), memory.moments);
  });
  const double own_pixels = plan.pixels(plan.map.images);
  BlockCounts counts{.pixels = own_pixels, .cancelled = 0};
  if (others.merge) {
    const auto rows = static_cast<size_t>((plan.count + plan.products()) * channels);
    counts.pixels = others.merge(plan.count, own_pixels, {memory.moments, rows});
  }
  Folder folder(planes, shape, plan, weights, x, memory.moments);
  std::vector<float> of_sum(static_cast<size_t>(2 * channels));
  std::atomic<int64_t> cancelled = 0;
  run_vectors(plan, parallel, [&](int64_t line, int64_t v, int64_t worker) {
    cancelled +=
        folder.set_variances(line, v, filters(line, v), merged(line, v), workspace.worker(worker), of_sum.data());
  });
  counts.cancelled = cancelled;
  if (cancelled > 0) {
    if (others.merge) others.merge(1, own_pixels, of_sum);
    folder.replace_variances(of_sum.data() + channels);
  }
  run_vectors(plan, parallel, [&](int64_t line, int64_t v, int64_t worker) {
    folder.fold(line, v, filters(line, v), counts.pixels, running, merged(line, v), workspace.worker(worker));
  });
  const auto apply = HWY_DYNAMIC_DISPATCH(apply_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    apply(planes, plan, workspace.merged(plan.grid.line(task)), x, y, task, workspace.worker(worker));
  });
  return counts;
}

void block_backward(const BlockShape& shape, const BlockWeights& weights, const BlockMemory& memory, double pixels,
                    const float* x, const float* dy, const BlockGradients& gradients, std::span<float> space,
                    const Parallel& parallel, const OtherBatches& others) {
  const auto planes = plane_functions();
  const BlockPlan plan(shape, planes.lanes);
  const Workspace workspace(plan, space, parallel.workers);
  pack_kernels(plan, weights, workspace, parallel);
  const auto correlation = HWY_DYNAMIC_DISPATCH(correlation_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    correlation(planes, plan, x, dy, task, workspace.correlation(task), workspace.worker(worker));
  });
  const int64_t channels = plan.map.channels;
  std::vector<double> products(static_cast<size_t>((plan.count + 1) * channels));
  const auto multiply = HWY_DYNAMIC_DISPATCH(branch_products);
  run_vectors(plan, parallel, [&](int64_t line, int64_t v, int64_t worker) {
    alignas(64) double of_vector[(kMaxBranches + 1) * kMaxLanes];
    multiply(plan, workspace.filters(line) + v * plan.filters(),
             workspace.correlation(line * plan.grid.chunks) + v * plan.correlation(), of_vector,
             workspace.worker(worker));
    const auto [first, end] = plan.channels(line, v);
    for (int64_t row = 0; row <= plan.count; ++row) {
      std::copy_n(of_vector + row * plan.lanes, end - first, products.begin() + row * channels + first);
    }
  });
  if (others.add) others.add(products);
  std::fill_n(workspace.coefficients(0), plan.grid.lines * plan.vectors * plan.coefficients(), 0.0F);
  run_channels(plan, parallel, [&](int64_t channel) {
    const int64_t vector = channel % kMaxLanes / plan.lanes;
    finish_norm_gradients(plan, shape.eps, weights, ChannelMoments(plan, memory.moments, channel), channel, pixels,
                          products.data(), gradients,
                          workspace.coefficients(channel / kMaxLanes) + vector * plan.coefficients());
  });
  const auto gradient = HWY_DYNAMIC_DISPATCH(gradient_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    const int64_t line = plan.grid.line(task);
    gradient(planes, plan, workspace.filters(line), workspace.coefficients(line), x, dy, gradients.x, task,
             memory.branches, workspace.gradients(task), workspace.worker(worker));
  });
  float* of_kernels[kMaxBranches] = {};
  for (size_t b = 0; b < gradients.branches.size(); ++b) of_kernels[b] = gradients.branches[b].weight;
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_kernel_gradients);
  parallel.run(plan.grid.lines, [&](int64_t line, int64_t worker) {
    finish(plan, line, workspace.gradients(line * plan.grid.chunks), of_kernels, workspace.worker(worker));
  });
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
