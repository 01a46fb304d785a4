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
#include "unireplk/kernels/cpu/channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

/// The scratch of one task: planes of one vector, filters of all.
struct Scratch {
  Scratch(const BlockPlan& plan, float* start) : plane_floats(plan.layout.floats()) {
    Arena arena(start);
    x = arena.take(plane_floats);
    dy = arena.take(plane_floats);
    result = arena.take(plane_floats);
    branches = arena.take(plane_floats * plan.count);
    filters = arena.take(plan.vectors * plan.filters());
    flipped = arena.take(plan.vectors * plan.filters());
    sums = arena.take(plan.filters());
    moments = arena.take(plan.moments());
    if (plan.layout.padding > 0) fill_zero(x, plane_floats * (plan.count + 3));
  }

  float* branch(int64_t b) const { return branches + b * plane_floats; }

  int64_t plane_floats;
  float *x, *dy, *result;  ///< planes
  float* branches;         ///< planes, one a branch
  float *filters, *flipped, *sums;
  float* moments;
};

void pack_branch_filters(const BlockPlan& plan, const float* const* weights, const Place& place, float* filters) {
  for (int64_t v = 0; v < place.vectors; ++v) {
    const auto [channel, count] = place.vector(v);
    for (int64_t b = 0; b < plan.count; ++b) {
      const auto& branch = plan.branches[b];
      pack_filters(weights[b] + channel * branch.taps, branch.taps, count,
                   filters + v * plan.filters() + branch.first_tap * kLanes);
    }
  }
}

Term term_of(const BlockPlan& plan, int64_t b, const float* plane, const float* filters) {
  const auto& branch = plan.branches[b];
  return {plane + plan.layout.first_pixel(), filters + branch.first_tap * kLanes, branch.size, branch.dilation};
}

/// Every branch of the plane in scratch.x, with the filters of its vector.
void convolve_branches(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters,
                       const Scratch& scratch, const Upcoming& upcoming) {
  for (int64_t b = 0; b < plan.count; ++b) {
    const Term term = term_of(plan, b, scratch.x, filters);
    planes.convolve(plan.layout, &term, 1, nullptr, scratch.branch(b) + plan.layout.first_pixel(),
                    plan.layout.row_floats(), kLanes, b == 0 ? upcoming : Upcoming());
  }
}

// ---- moments of planes

template <int kFrom, int kCount>
HWY_INLINE void add_products_of_pixel(Vec (&first)[kCount], Vec (&second)[kCount], Vec a, Vec b, const float* pixel,
                                      int64_t stride, const float* means) {
  if constexpr (kFrom < kCount) {
    const Vec value = hn::Sub(load(pixel + kFrom * stride), load(means + kFrom * kLanes));
    first[kFrom] = hn::MulAdd(a, value, first[kFrom]);
    if constexpr (kFrom > 0) second[kFrom] = hn::MulAdd(b, value, second[kFrom]);
    add_products_of_pixel<kFrom + 1, kCount>(first, second, a, b, pixel, stride, means);
  }
}

template <int kFrom, int kCount>
HWY_INLINE void add_all(const Vec (&values)[kCount], float* to) {
  if constexpr (kFrom < kCount) {
    store(hn::Add(load(to), values[kFrom]), to);
    add_all<kFrom + 1>(values, to + kLanes);
  }
}

template <int kFrom, int kCount>
HWY_INLINE void zero_all(Vec (&values)[kCount]) {
  if constexpr (kFrom < kCount) {
    values[kFrom] = zero();
    zero_all<kFrom + 1>(values);
  }
}

/// Of planes 0 .. kCount - 1, `stride` apart: add to `sums` the centred products of plane 0 with all and, behind them,
/// of plane 1 with all from itself on.
template <int kCount>
void add_centred_products(const PlaneLayout& layout, const float* planes, int64_t stride, const float* means,
                          float* sums) {
  Vec first[kCount], second[kCount];
  zero_all<0>(first);
  zero_all<0>(second);
  for (int64_t y = 0; y < layout.height; ++y) {
    const float* pixel = planes + y * layout.row_floats() + layout.first_pixel();
    for (int64_t x = 0; x < layout.width; ++x, pixel += kLanes) {
      const Vec a = hn::Sub(load(pixel), load(means));
      const Vec b = kCount > 1 ? hn::Sub(load(pixel + stride), load(means + kLanes)) : a;
      add_products_of_pixel<0>(first, second, a, b, pixel, stride, means);
    }
  }
  add_all<0>(first, sums);
  if constexpr (kCount > 1) add_all<1>(second, sums + kCount * kLanes);
}

/// Means [count] and sums of centred products, upper triangle, of `count` planes.
void moments_of(const PlaneLayout& layout, const float* planes, int64_t count, int64_t stride, float* moments) {
  using Add = void (*)(const PlaneLayout&, const float*, int64_t, const float*, float*);
  static constexpr Add kAdd[kMaxBranches] = {add_centred_products<1>, add_centred_products<2>, add_centred_products<3>,
                                             add_centred_products<4>, add_centred_products<5>, add_centred_products<6>,
                                             add_centred_products<7>, add_centred_products<8>};
  const Vec share = all(1.0F / static_cast<float>(layout.height * layout.width));
  for (int64_t b = 0; b < count; ++b) {
    store(hn::Mul(sum_plane(layout, planes + b * stride), share), moments + b * kLanes);
  }
  float* sums = moments + count * kLanes;
  fill_zero(sums, count * (count + 1) / 2 * kLanes);
  for (int64_t b = 0; b < count; b += 2) {
    kAdd[count - b - 1](layout, planes + b * stride, stride, moments + b * kLanes,
                        sums + pair_index(b, b, count) * kLanes);
  }
}

/// Merge the moments of `more` pixels into those of `pixels` others.
void merge_moments(int64_t count, float pixels, float more, const float* from, float* to) {
  const Vec share = all(more / (pixels + more)), weight = all(pixels * (more / (pixels + more)));
  float* sums = to + count * kLanes;
  const float* more_sums = from + count * kLanes;
  for (int64_t b = 0; b < count; ++b) {
    const Vec delta = hn::Sub(load(from + b * kLanes), load(to + b * kLanes));
    for (int64_t d = b; d < count; ++d, sums += kLanes, more_sums += kLanes) {
      const Vec other = hn::Sub(load(from + d * kLanes), load(to + d * kLanes));
      store(hn::MulAdd(hn::Mul(delta, weight), other, hn::Add(load(sums), load(more_sums))), sums);
    }
    store(hn::MulAdd(delta, share, load(to + b * kLanes)), to + b * kLanes);
  }
}

// ---- tasks

/// Forward 1: moments of the branches over a chunk of images.
void statistics_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* const* weights, const float* x,
                     int64_t task, float* moments, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  pack_branch_filters(plan, weights, place, scratch.filters);
  fill_zero(moments, plan.vectors * plan.moments());
  float pixels = 0;
  const auto image_pixels = static_cast<float>(plan.map.height * plan.map.width);
  for (int64_t image = place.first_image; image < place.end_image; ++image, pixels += image_pixels) {
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      pack_plane(plan.layout, x + place.offset(image, vector), plan.map.channels, vector.count, scratch.x);
      convolve_branches(planes, plan, scratch.filters + v * plan.filters(), scratch, place.after(image, v, x));
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
    planes.convolve(plan.layout, &term, 1, nullptr, scratch.result + plan.layout.first_pixel(),
                    plan.layout.row_floats(), kLanes, {});
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
      convolve_image(planes, plan.layout, &term, 1, kernel + plan.large().taps * kLanes, y + offset, plan.map.channels,
                     vector.count, scratch.result, place.after(image, v, x));
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

/// Turn the branches of an image into their gradients, in place.
void differentiate_branches(const BlockPlan& plan, const float* coefficients, const Scratch& scratch) {
  const auto row_of = [&](int64_t b, int64_t row) { return coefficients + (b * kRowsOfBranch + row) * kLanes; };
  const Vec mean_dy = load(row_of(plan.count, 0)), of_sum = load(row_of(plan.count, 1));
  for (int64_t y = 0; y < plan.layout.height; ++y) {
    int64_t pixel = y * plan.layout.row_floats() + plan.layout.first_pixel();
    for (int64_t x = 0; x < plan.layout.width; ++x, pixel += kLanes) {
      Vec sum = zero();
      for (int64_t b = 0; b < plan.count; ++b) {
        const Vec centred = hn::Sub(load(scratch.branch(b) + pixel), load(row_of(b, kMean)));
        sum = hn::MulAdd(load(row_of(b, kSlope)), centred, sum);
      }
      const Vec inner = hn::NegMulAdd(of_sum, sum, hn::Sub(load(scratch.dy + pixel), mean_dy));
      for (int64_t b = 0; b < plan.count; ++b) {
        const Vec centred = hn::Sub(load(scratch.branch(b) + pixel), load(row_of(b, kMean)));
        const Vec scaled = hn::Mul(load(row_of(b, kGradientScale)), inner);
        store(hn::NegMulAdd(load(row_of(b, kSpread)), centred, scaled), scratch.branch(b) + pixel);
      }
    }
  }
}

/// Backward 2: gradients of x (unless dx is null) and, summed over a chunk of images, of all kernels.
void gradient_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* const* weights,
                   const float* coefficients, const float* x, const float* dy, float* dx, int64_t task, float* sums,
                   float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  const auto& layout = plan.layout;
  pack_branch_filters(plan, weights, place, scratch.filters);
  for (int64_t v = 0; v < place.vectors; ++v) {
    for (int64_t b = 0; b < plan.count; ++b) {
      const int64_t first = v * plan.filters() + plan.branches[b].first_tap * kLanes;
      flip_filters(scratch.filters + first, plan.branches[b].taps, scratch.flipped + first);
    }
  }
  fill_zero(sums, plan.vectors * plan.filters());
  for (int64_t image = place.first_image; image < place.end_image; ++image) {
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      const int64_t offset = place.offset(image, vector), filters = v * plan.filters();
      pack_plane(layout, x + offset, plan.map.channels, vector.count, scratch.x);
      pack_plane(layout, dy + offset, plan.map.channels, vector.count, scratch.dy);
      convolve_branches(planes, plan, scratch.filters + filters, scratch, place.after(image, v, x, dy));
      differentiate_branches(plan, coefficients + v * plan.coefficients(), scratch);
      if (dx) {
        Term terms[kMaxBranches];
        for (int64_t b = 0; b < plan.count; ++b) {
          terms[b] = term_of(plan, b, scratch.branch(b), scratch.flipped + filters);
        }
        convolve_image(planes, layout, terms, plan.count, nullptr, dx + offset, plan.map.channels, vector.count,
                       scratch.result, {});
      }
      for (int64_t b = 0; b < plan.count; ++b) {
        const auto& branch = plan.branches[b];
        add_correlation(planes, layout, scratch.branch(b), scratch.x, branch.size, branch.dilation, scratch.sums,
                        sums + filters + branch.first_tap * kLanes);
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

/// The parts of a workspace. Either pass has sums of its tasks, what follows from them for each vector of channels, and
/// in backward the sums of a second round of tasks.
class Workspace {
 public:
  Workspace(const BlockPlan& plan, std::span<float> space, int64_t workers)
      : plan_(plan),
        workers_(space.data()),
        sums_(workers_ + workers * plan.worker()),
        of_vectors_(sums_ + plan.grid.tasks() * plan.vectors * sum_floats(plan)),
        filters_(of_vectors_ + plan.grid.lines * plan.vectors * vector_floats(plan)) {
    UNIREPLK_CHECK(static_cast<int64_t>(space.size()) >= floats(plan, workers), "workspace of {} floats, expected {}",
                   space.size(), floats(plan, workers));
  }

  static int64_t floats(const BlockPlan& plan, int64_t workers) {
    return workers * plan.worker() + plan.grid.tasks() * plan.vectors * (sum_floats(plan) + plan.filters()) +
           plan.grid.lines * plan.vectors * vector_floats(plan);
  }

  float* worker(int64_t i) const { return workers_ + i * plan_.worker(); }
  float* moments(int64_t task) const { return sums_ + task * plan_.vectors * plan_.moments(); }
  float* correlation(int64_t task) const { return sums_ + task * plan_.vectors * plan_.correlation(); }
  float* merged(int64_t line) const { return of_vectors_ + line * plan_.vectors * plan_.merged(); }
  float* coefficients(int64_t line) const { return of_vectors_ + line * plan_.vectors * plan_.coefficients(); }
  float* filters(int64_t task) const { return filters_ + task * plan_.vectors * plan_.filters(); }

 private:
  static int64_t sum_floats(const BlockPlan& plan) { return std::max(plan.moments(), plan.correlation()); }
  static int64_t vector_floats(const BlockPlan& plan) { return std::max(plan.merged(), plan.coefficients()); }

  const BlockPlan& plan_;
  float *workers_, *sums_, *of_vectors_, *filters_;
};

/// The branches' kernels as code of every instruction set reads them.
struct KernelPointers {
  explicit KernelPointers(const BlockWeights& weights) {
    for (size_t b = 0; b < weights.branches.size(); ++b) of[b] = weights.branches[b].weight;
  }
  const float* of[kMaxBranches] = {};
};

/// What lies between the two passes of forward over the map, for one vector of channels at a time.
class Folder {
 public:
  Folder(const PlaneFunctions& planes, const BlockShape& shape, const BlockPlan& plan, const BlockWeights& weights,
         const RunningStatistics* running, const float* x, float* moments)
      : planes_(planes), shape_(shape), plan_(plan), weights_(weights), running_(running), x_(x), moments_(moments) {}

  /// \param partials  moments of the line's chunks
  /// \param merged    written: kernel and bias of the vector
  /// \return          channels that cancel.
  int64_t fold(int64_t line, int64_t vector, const float* partials, float* merged, float* scratch) const {
    std::fill(merged, merged + plan_.merged(), 0.0F);
    const int64_t first = line * kMaxLanes + vector * plan_.lanes;
    const int64_t end = std::min(first + plan_.lanes, plan_.map.channels);
    auto* sum = reinterpret_cast<double*>(scratch);
    bool cancels[kMaxLanes] = {};
    int64_t cancelled = 0;
    for (int64_t channel = first; channel < end; ++channel) {
      kernels::merge_moments(plan_, channel, partials, moments_);
      bool& lost = cancels[channel - first];
      set_variance_of_sum(plan_, moments_, channel, variance_of_sum(plan_, norms(channel), of(channel), lost));
      cancelled += lost ? 1 : 0;
    }
    if (cancelled > 0) {
      for (int64_t channel = first; channel < end; ++channel) {
        sum_kernels(plan_, weights_, norms(channel), 1.0, channel, sum, merged);
      }
      alignas(64) float variance[kMaxLanes];
      HWY_DYNAMIC_DISPATCH(variance_task)(planes_, plan_, merged, x_, line, vector, variance, scratch);
      for (int64_t channel = first; channel < end; ++channel) {
        if (cancels[channel - first]) set_variance_of_sum(plan_, moments_, channel, variance[channel - first]);
      }
    }
    for (int64_t channel = first; channel < end; ++channel) {
      sum_kernels(plan_, weights_, norms(channel), norms(channel).outer_slope, channel, sum, merged);
      merged[plan_.large().taps * plan_.lanes + channel - first] =
          static_cast<float>(merged_bias(plan_, weights_, norms(channel), of(channel), channel));
      if (running_) update_running(plan_, weights_, of(channel), channel, *running_);
    }
    return cancelled;
  }

 private:
  ChannelMoments of(int64_t channel) const { return {plan_, moments_, channel}; }
  ChannelNorms norms(int64_t channel) const { return {plan_, shape_.eps, weights_, of(channel), channel}; }

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
  const KernelPointers kernels(weights);
  const auto statistics = HWY_DYNAMIC_DISPATCH(statistics_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    statistics(planes, plan, kernels.of, x, task, workspace.moments(task), workspace.worker(worker));
  });
  const Folder folder(planes, shape, plan, weights, running, x, moments);
  std::atomic<int64_t> cancelled = 0;
  parallel.run(plan.grid.lines, [&](int64_t line, int64_t worker) {
    for (int64_t v = 0; v < plan.vectors; ++v) {
      cancelled += folder.fold(line, v, workspace.moments(line * plan.grid.chunks),
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
  const KernelPointers kernels(weights);
  const auto correlation = HWY_DYNAMIC_DISPATCH(correlation_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    correlation(planes, plan, x, dy, task, workspace.correlation(task), workspace.worker(worker));
  });
  const auto for_each_channel = [&](int64_t line, auto visit) {
    const int64_t first = line * kMaxLanes, end = std::min(first + kMaxLanes, plan.map.channels);
    for (int64_t channel = first; channel < end; ++channel) visit(channel);
  };
  parallel.run(plan.grid.lines, [&](int64_t line, int64_t worker) {
    float* coefficients = workspace.coefficients(line);
    std::fill(coefficients, coefficients + plan.vectors * plan.coefficients(), 0.0F);
    for_each_channel(line, [&](int64_t channel) {
      finish_norm_gradients(plan, shape.eps, weights, ChannelMoments(plan, moments, channel), channel,
                            workspace.correlation(line * plan.grid.chunks),
                            reinterpret_cast<double*>(workspace.worker(worker)), gradients,
                            coefficients + channel % kMaxLanes / plan.lanes * plan.coefficients());
    });
  });
  const auto gradient = HWY_DYNAMIC_DISPATCH(gradient_task);
  parallel.run(plan.grid.tasks(), [&](int64_t task, int64_t worker) {
    gradient(planes, plan, kernels.of, workspace.coefficients(plan.grid.line(task)), x, dy, gradients.x, task,
             workspace.filters(task), workspace.worker(worker));
  });
  parallel.run(plan.grid.lines, [&](int64_t line, int64_t) {
    for_each_channel(line, [&](int64_t channel) {
      finish_kernel_gradients(plan, channel, workspace.filters(line * plan.grid.chunks), gradients);
    });
  });
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
