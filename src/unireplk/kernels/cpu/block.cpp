#include "unireplk/kernels/block.h"

#include <algorithm>
#include <atomic>

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
  Scratch(const BlockPlan& plan, float* start) : plane_floats(plan.layout.floats()) {
    Arena arena(start);
    x = arena.take(plane_floats);
    dy = arena.take(plane_floats);
    result = arena.take(plane_floats);
    branches = arena.take(plane_floats * plan.count);
    flipped = arena.take(plan.vectors * plan.filters());
    sums = arena.take(plan.filters());
    moments = arena.take(plan.moments());
    if (plan.layout.padding > 0) fill_zero(x, plane_floats * (plan.count + 3));
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
  return {plane + plan.layout.first_pixel(), filters + branch.first_tap * kLanes, branch.size, branch.dilation};
}

HWY_ALIGN constexpr float kZeros[kLanes] = {};
constexpr Pixels<const float> kNothing{kZeros, 0, 0};

/// Every branch of the plane in scratch.x, with the filters of its vector.
void convolve_branches(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters,
                       const Scratch& scratch, const Upcoming& upcoming) {
  for (int64_t b = 0; b < plan.count; ++b) {
    planes.convolve(plan.layout, term_of(plan, b, scratch.x, filters), kNothing,
                    pixels_of(plan.layout, scratch.branch(b)), b == 0 ? upcoming : Upcoming());
  }
}

/// Forward 1: moments of the branches over a chunk of images.
/// \param filters  of the line
void statistics_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const float* x,
                     int64_t task, float* moments, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  fill_zero(moments, plan.vectors * plan.moments());
  float pixels = 0;
  const auto image_pixels = static_cast<float>(plan.map.height * plan.map.width);
  for (int64_t image = place.first_image; image < place.end_image; ++image, pixels += image_pixels) {
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      pack_plane(plan.layout, x + place.offset(image, vector), plan.map.channels, vector.count, scratch.x);
      convolve_branches(planes, plan, filters + v * plan.filters(), scratch, place.after(image, v, x));
      moments_of(plan.layout, scratch.branches, plan.count, scratch.plane_floats, scratch.moments);
      merge_moments(plan.count, pixels, image_pixels, scratch.moments, moments + v * plan.moments());
    }
  }
}

/// Variance, over all images, of vector `v` of a line convolved with `filters` of the large kernel's size.
void variance_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const float* x,
                   int64_t line, int64_t v, float* variance, float* start) {
  const Scratch scratch(plan, start);
  const auto image_pixels = static_cast<float>(plan.map.height * plan.map.width);
  const Term term{scratch.x + plan.layout.first_pixel(), filters, plan.large().size, plan.large().dilation};
  HWY_ALIGN float moments[2 * kLanes] = {};
  float pixels = 0;
  const Place place(plan.map, plan.grid, line * plan.grid.chunks);
  const auto vector = place.vector(v);
  for (int64_t image = 0; image < plan.map.images; ++image, pixels += image_pixels) {
    pack_plane(plan.layout, x + place.offset(image, vector), plan.map.channels, vector.count, scratch.x);
    planes.convolve(plan.layout, term, kNothing, pixels_of(plan.layout, scratch.result), {});
    moments_of(plan.layout, scratch.result, 1, 0, scratch.moments);
    merge_moments(1, pixels, image_pixels, scratch.moments, moments);
  }
  store(hn::Mul(load(moments + kLanes), all(1.0F / pixels)), variance);
}

/// Forward 2: one convolution with the merged kernels [taps][lanes] and, behind each, its bias.
void apply_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* merged, const float* x, float* y,
                int64_t task, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  for (int64_t image = place.first_image; image < place.end_image; ++image) {
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      const int64_t offset = place.offset(image, vector);
      pack_plane(plan.layout, x + offset, plan.map.channels, vector.count, scratch.x);
      const float* kernel = merged + v * plan.merged();
      const Term term{scratch.x + plan.layout.first_pixel(), kernel, plan.large().size, plan.large().dilation};
      convolve_image(planes, plan.layout, term, {kernel + plan.large().taps * kLanes, 0, 0}, y + offset,
                     plan.map.channels, vector.count, scratch.result, place.after(image, v, x));
    }
  }
}

/// Backward 1: correlation of dy with x at every tap of the large kernel and, behind it, the sum of dy.
void correlation_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* x, const float* dy,
                      int64_t task, float* sums, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  fill_zero(sums, plan.vectors * plan.correlation());
  for (int64_t image = place.first_image; image < place.end_image; ++image) {
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      const int64_t offset = place.offset(image, vector);
      pack_plane(plan.layout, x + offset, plan.map.channels, vector.count, scratch.x);
      pack_plane(plan.layout, dy + offset, plan.map.channels, vector.count, scratch.dy);
      float* of_vector = sums + v * plan.correlation();
      float* total = of_vector + plan.large().taps * kLanes;
      add_correlation(planes, plan.layout, scratch.dy, scratch.x, plan.large().size, plan.large().dilation,
                      scratch.sums, of_vector, place.after(image, v, x, dy));
      store(hn::Add(load(total), sum_plane(plan.layout, scratch.dy)), total);
    }
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

/// Turn kCount branches of an image into their gradients, in place.
template <int kCount>
void differentiate(const PlaneLayout& layout, const float* coefficients, const float* means, const float* dy,
                   float* branches, int64_t stride) {
  const Vec mean_dy = load(coefficients + kCount * kRowsOfBranch * kLanes);
  const Vec of_sum = load(coefficients + (kCount * kRowsOfBranch + 1) * kLanes);
  for (int64_t y = 0; y < layout.height; ++y) {
    int64_t pixel = y * layout.row_floats() + layout.first_pixel();
    for (int64_t x = 0; x < layout.width; ++x, pixel += kLanes) {
      Vec centred[kCount];
      load_centred<0>(centred, branches + pixel, stride, means);
      const Vec sum = weighted_sum<0>(centred, coefficients, zero());
      const Vec inner = hn::NegMulAdd(of_sum, sum, hn::Sub(load(dy + pixel), mean_dy));
      store_gradients<0>(centred, coefficients, inner, branches + pixel, stride);
    }
  }
}

void differentiate_branches(const BlockPlan& plan, const float* coefficients, const Scratch& scratch) {
  using Differentiate = void (*)(const PlaneLayout&, const float*, const float*, const float*, float*, int64_t);
  static constexpr Differentiate kDifferentiate[kMaxBranches] = {differentiate<1>, differentiate<2>, differentiate<3>,
                                                                 differentiate<4>, differentiate<5>, differentiate<6>,
                                                                 differentiate<7>, differentiate<8>};
  HWY_ALIGN float means[kMaxBranches * kLanes];
  for (int64_t b = 0; b < plan.count; ++b) {
    store(load(coefficients + (b * kRowsOfBranch + kMean) * kLanes), means + b * kLanes);
  }
  kDifferentiate[plan.count - 1](plan.layout, coefficients, means, scratch.dy, scratch.branches, scratch.plane_floats);
}

/// The sum of all branches, each convolved with its kernel, to `to`: a vector of an image, of which there are `count`
/// channels. What is in scratch.dy is lost.
void add_transposed(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const Scratch& scratch,
                    float* to, int64_t count) {
  const auto& layout = plan.layout;
  float* const sums[2] = {scratch.result, layout.overlaps() ? scratch.dy : scratch.result};
  for (int64_t b = plan.count - 1; b >= 0; --b) {
    const bool first = b == plan.count - 1;
    const auto start = first ? kNothing : pixels_of<const float>(layout, sums[(b + 1) % 2]);
    const Term term = term_of(plan, b, scratch.branch(b), filters);
    if (b > 0) {
      planes.convolve(layout, term, start, pixels_of(layout, sums[b % 2]), {});
    } else {
      convolve_image(planes, layout, term, start, to, plan.map.channels, count, scratch.result, {});
    }
  }
}

/// Backward 2: gradients of x (unless dx is null) and, summed over a chunk of images, of all kernels.
/// \param filters  of the line
void gradient_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const float* coefficients,
                   const float* x, const float* dy, float* dx, int64_t task, float* sums, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  const auto& layout = plan.layout;
  for (int64_t v = 0; v < place.vectors; ++v) {
    for (int64_t b = 0; b < plan.count; ++b) {
      const int64_t first = v * plan.filters() + plan.branches[b].first_tap * kLanes;
      flip_filters(filters + first, plan.branches[b].taps, scratch.flipped + first);
    }
  }
  fill_zero(sums, plan.vectors * plan.filters());
  for (int64_t image = place.first_image; image < place.end_image; ++image) {
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      const int64_t offset = place.offset(image, vector), first_filter = v * plan.filters();
      pack_plane(layout, x + offset, plan.map.channels, vector.count, scratch.x);
      pack_plane(layout, dy + offset, plan.map.channels, vector.count, scratch.dy);
      convolve_branches(planes, plan, filters + first_filter, scratch, place.after(image, v, x, dy));
      differentiate_branches(plan, coefficients + v * plan.coefficients(), scratch);
      if (dx) {
        add_transposed(planes, plan, scratch.flipped + first_filter, scratch, dx + offset, vector.count);
      }
      for (int64_t b = 0; b < plan.count; ++b) {
        const auto& branch = plan.branches[b];
        add_correlation(planes, layout, scratch.branch(b), scratch.x, branch.size, branch.dilation, scratch.sums,
                        sums + first_filter + branch.first_tap * kLanes);
      }
    }
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
         const RunningStatistics* running, const float* x, float* moments)
      : planes_(planes), shape_(shape), plan_(plan), weights_(weights), running_(running), x_(x), moments_(moments) {}

  /// \param filters   of the vector
  /// \param partials  moments of the line's chunks
  /// \param merged    written: kernel and bias of the vector
  /// \return          channels that cancel.
  int64_t fold(int64_t line, int64_t vector, const float* filters, const float* partials, float* merged,
               float* scratch) const {
    const int64_t first = line * kMaxLanes + vector * plan_.lanes;
    const int64_t end = std::min(first + plan_.lanes, plan_.map.channels);
    bool cancels[kMaxLanes] = {};
    alignas(64) double factors[kMaxBranches * kMaxLanes] = {};
    const auto set_factors = [&](int64_t channel, const ChannelNorms& norms, double scale) {
      for (int64_t b = 0; b < plan_.count; ++b) {
        factors[b * plan_.lanes + channel - first] = scale * norms.slope[b];
      }
    };
    int64_t cancelled = 0;
    for (int64_t channel = first; channel < end; ++channel) {
      kernels::merge_moments(plan_, channel, partials, moments_);
      bool& lost = cancels[channel - first];
      const auto norms = norms_of(channel);
      set_variance_of_sum(plan_, moments_, channel, variance_of_sum(plan_, norms, of(channel), lost));
      set_factors(channel, norms, 1);
      cancelled += lost ? 1 : 0;
    }
    const auto merge = HWY_DYNAMIC_DISPATCH(merge_kernels);
    if (cancelled > 0) {
      alignas(64) float variance[kMaxLanes];
      merge(plan_, filters, factors, merged, scratch);
      HWY_DYNAMIC_DISPATCH(variance_task)(planes_, plan_, merged, x_, line, vector, variance, scratch);
      for (int64_t channel = first; channel < end; ++channel) {
        if (cancels[channel - first]) set_variance_of_sum(plan_, moments_, channel, variance[channel - first]);
      }
    }
    float* bias = merged + plan_.large().taps * plan_.lanes;
    std::fill(bias, bias + plan_.lanes, 0.0F);
    for (int64_t channel = first; channel < end; ++channel) {
      const auto norms = norms_of(channel);
      set_factors(channel, norms, norms.outer_slope);
      bias[channel - first] = static_cast<float>(merged_bias(plan_, weights_, norms, of(channel), channel));
      if (running_) update_running(plan_, weights_, of(channel), channel, *running_);
    }
    merge(plan_, filters, factors, merged, scratch);
    return cancelled;
  }

 private:
  ChannelMoments of(int64_t channel) const { return {plan_, moments_, channel}; }
  ChannelNorms norms_of(int64_t channel) const { return {plan_, shape_.eps, weights_, of(channel), channel}; }

  const PlaneFunctions& planes_;
  const BlockShape& shape_;
  const BlockPlan& plan_;
  const BlockWeights& weights_;
  const RunningStatistics* running_;
  const float* x_;
  float* moments_;
};

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

int64_t block_forward(const BlockShape& shape, const BlockWeights& weights, const RunningStatistics* running,
                      const float* x, float* y, float* moments, std::span<float> space, const Parallel& parallel) {
  const auto planes = plane_functions();
  const BlockPlan plan(shape, planes.lanes);
  const Workspace workspace(plan, space, parallel.workers);
  pack_kernels(plan, weights, workspace, parallel);
  const auto statistics = HWY_DYNAMIC_DISPATCH(statistics_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    statistics(planes, plan, workspace.filters(plan.grid.line(task)), x, task, workspace.moments(task),
               workspace.worker(worker));
  });
  const Folder folder(planes, shape, plan, weights, running, x, moments);
  std::atomic<int64_t> cancelled = 0;
  parallel.run(plan.grid.lines, [&](int64_t line, int64_t worker) {
    for (int64_t v = 0; v < plan.vectors; ++v) {
      cancelled +=
          folder.fold(line, v, workspace.filters(line) + v * plan.filters(), workspace.moments(line * plan.grid.chunks),
                      workspace.merged(line) + v * plan.merged(), workspace.worker(worker));
    }
  });
  const auto apply = HWY_DYNAMIC_DISPATCH(apply_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    apply(planes, plan, workspace.merged(plan.grid.line(task)), x, y, task, workspace.worker(worker));
  });
  return cancelled;
}

void block_backward(const BlockShape& shape, const BlockWeights& weights, const float* moments, const float* x,
                    const float* dy, const BlockGradients& gradients, std::span<float> space,
                    const Parallel& parallel) {
  const auto planes = plane_functions();
  const BlockPlan plan(shape, planes.lanes);
  const Workspace workspace(plan, space, parallel.workers);
  pack_kernels(plan, weights, workspace, parallel);
  const auto correlation = HWY_DYNAMIC_DISPATCH(correlation_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    correlation(planes, plan, x, dy, task, workspace.correlation(task), workspace.worker(worker));
  });
  const auto multiply = HWY_DYNAMIC_DISPATCH(branch_products);
  parallel.run(plan.grid.lines, [&](int64_t line, int64_t worker) {
    for (int64_t v = 0; v < plan.vectors; ++v) {
      alignas(64) double products[(kMaxBranches + 1) * kMaxLanes];
      multiply(plan, workspace.filters(line) + v * plan.filters(),
               workspace.correlation(line * plan.grid.chunks) + v * plan.correlation(), products,
               workspace.worker(worker));
      float* coefficients = workspace.coefficients(line) + v * plan.coefficients();
      std::fill(coefficients, coefficients + plan.coefficients(), 0.0F);
      const int64_t first = line * kMaxLanes + v * plan.lanes;
      const int64_t end = std::min(first + plan.lanes, plan.map.channels);
      for (int64_t channel = first; channel < end; ++channel) {
        finish_norm_gradients(plan, shape.eps, weights, ChannelMoments(plan, moments, channel), channel, products,
                              gradients, coefficients);
      }
    }
  });
  const auto gradient = HWY_DYNAMIC_DISPATCH(gradient_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    const int64_t line = plan.grid.line(task);
    gradient(planes, plan, workspace.filters(line), workspace.coefficients(line), x, dy, gradients.x, task,
             workspace.gradients(task), workspace.worker(worker));
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
