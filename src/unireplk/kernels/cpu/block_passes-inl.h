// The passes of a block over maps, one task at a time. Compiled once for each instruction set: include it after
// hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_BLOCK_PASSES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_BLOCK_PASSES_INL_H
#undef UNIREPLK_KERNELS_CPU_BLOCK_PASSES_INL_H
#else
#define UNIREPLK_KERNELS_CPU_BLOCK_PASSES_INL_H
#endif

#include "unireplk/kernels/cpu/block_plan.h"
#include "unireplk/kernels/cpu/moments-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

/// The scratch of one task: planes, filters of all vectors that it has.
struct Scratch {
  Scratch(const BlockPlan& plan, float* start)
      : plane_floats(plan.layouts.floats()), vector_stride(plan.held() * plane_floats) {
    const int64_t planes = plan.vectors * plan.held();
    Arena arena(start);
    x = arena.take(planes * plane_floats);
    dy = arena.take(planes * plane_floats);
    branches = arena.take(planes * plan.kept_plane());
    result = arena.take(plane_floats);
    flipped = arena.take(plan.vectors * plan.filters());
    sums = arena.take(plan.filters());
    moments = arena.take(plan.moments());
    if (plan.layouts.is_padded()) fill_zero(x, planes * plan.plane_set());
  }

  /// The i-th plane of the task's, of a vector.
  BlockPlanes plane(const BlockPlan& plan, int64_t vector, int64_t i) const {
    const int64_t at = vector * plan.held() + (plan.lines_stay ? i : 0);
    return {x + at * plane_floats, dy + at * plane_floats, branches + at * plan.kept_plane()};
  }

  int64_t plane_floats;
  int64_t vector_stride;     ///< floats from a plane of x or dy to that of the next vector
  float *x, *dy, *branches;  ///< planes: of a whole line where they stay
  float* result;             ///< one plane
  float *flipped, *sums;
  float* moments;
};

/// Call visit(layout, image, i) for all planes of images, of which the i-th starts with `image`.
template <class Visit>
HWY_INLINE void for_each_plane(const BlockPlan& plan, int64_t image, int64_t end_image, const Visit& visit) {
  for (int64_t i = 0; image < end_image; ++i) {
    const auto& layout = plan.layouts.of(end_image - image);
    visit(layout, image, i);
    image += layout.images;
  }
}

/// Call visit(layout, image, i, vector) for all planes of a task.
template <class Visit>
HWY_INLINE void for_each_plane(const BlockPlan& plan, const Place& place, const Visit& visit) {
  for_each_plane(plan, place.first_image, place.end_image, [&](const PlaneLayout& layout, int64_t image, int64_t i) {
    for (int64_t v = 0; v < place.vectors; ++v) visit(layout, image, i, v);
  });
}

inline Term term_of(const BlockPlan& plan, int64_t b, const float* plane, const float* filters) {
  const auto& branch = plan.branches[b];
  return {plane + plan.layouts.first_pixel(), filters + branch.first_tap * kLanes, branch.size, branch.dilation};
}

HWY_ALIGN constexpr float kZeros[kLanes] = {};
constexpr Pixels<const float> kNothing{kZeros, 0, 0};

/// Every branch of of.x to of.branches.
/// \param filters   of the vector
/// \param upcoming  is asked for with the large kernel, which takes longest
inline void convolve_branches(const PlaneFunctions& planes, const BlockPlan& plan, const PlaneLayout& layout,
                              const float* filters, const BlockPlanes& of, const Upcoming& upcoming) {
  for (int64_t b = plan.count - 1; b >= 0; --b) {
    planes.convolve(layout, term_of(plan, b, of.x, filters), kNothing, pixels_of(layout, of.branch(plan, b)),
                    b > 0 ? Upcoming() : upcoming);
  }
}

/// Where the i-th plane of a vector is worked on: in scratch but for the branches that are kept.
/// \param kept  all branches of the task, or null
inline BlockPlanes plane_of(const BlockPlan& plan, int64_t v, int64_t i, float* kept, const Scratch& scratch) {
  auto plane = scratch.plane(plan, v, i);
  if (kept) plane.branches = kept + plan.kept_start(v, i);
  return plane;
}

/// Forward 1: moments of the branches over a chunk of images.
/// \param filters  of the line
/// \param y        is asked for where this task goes on to write it, or null
/// \param kept     all branches of the task, written, or null
inline void statistics_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const float* x,
                            const float* y, int64_t task, float* kept, float* moments, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  fill_zero(moments, plan.vectors * plan.moments());
  for_each_plane(plan, place, [&](const PlaneLayout& layout, int64_t image, int64_t i, int64_t v) {
    const auto of = plane_of(plan, v, i, kept, scratch);
    if (v == 0) pack_planes(layout, place, x + place.offset(image, place.vector(0)), of.x, scratch.vector_stride);
    const auto upcoming =
        y ? place.written_and_after(image, layout.images, v, y, x) : place.after(image, layout.images, v, x);
    convolve_branches(planes, plan, layout, filters + v * plan.filters(), of, upcoming);
    moments_of(layout, of.branches, plan.count, scratch.plane_floats, scratch.moments);
    merge_moments(plan.count, static_cast<float>(plan.pixels(image - place.first_image)),
                  static_cast<float>(layout.pixels()), scratch.moments, moments + v * plan.moments());
  });
}

/// Mean and variance [2][lanes], over all images, of vector `v` of a line convolved with `filters` of the large
/// kernel's size.
inline void variance_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const float* x,
                          int64_t line, int64_t v, float* of_sum, float* start) {
  const Scratch scratch(plan, start);
  const float* plane = scratch.x + v * scratch.vector_stride;
  const Term term{plane + plan.layouts.first_pixel(), filters, plan.large().size, plan.large().dilation};
  HWY_ALIGN float moments[2 * kLanes] = {};
  const Place place(plan.map, plan.grid, line * plan.grid.chunks);
  for_each_plane(plan, 0, plan.map.images, [&](const PlaneLayout& layout, int64_t image, int64_t) {
    pack_planes(layout, place, x + place.offset(image, place.vector(0)), scratch.x, scratch.vector_stride);
    planes.convolve(layout, term, kNothing, pixels_of(layout, scratch.result), {});
    moments_of(layout, scratch.result, 1, 0, scratch.moments);
    merge_moments(1, static_cast<float>(plan.pixels(image)), static_cast<float>(layout.pixels()), scratch.moments,
                  moments);
  });
  store(load(moments), of_sum);
  store(hn::Mul(load(moments + kLanes), all(1.0F / static_cast<float>(plan.pixels(plan.map.images)))), of_sum + kLanes);
}

/// Forward 2: one convolution with the merged kernels [taps][lanes] and, behind each, its bias.
inline void apply_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* merged, const float* x,
                       float* y, int64_t task, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  for_each_plane(plan, place, [&](const PlaneLayout& layout, int64_t image, int64_t, int64_t v) {
    const auto vector = place.vector(v);
    const int64_t offset = place.offset(image, vector);
    if (v == 0) pack_planes(layout, place, x + offset, scratch.x, scratch.vector_stride);
    const float* plane = scratch.x + v * scratch.vector_stride;
    const float* kernel = merged + v * plan.merged();
    const Term term{plane + layout.first_pixel(), kernel, plan.large().size, plan.large().dilation};
    convolve_image(planes, layout, term, {kernel + plan.large().taps * kLanes, 0, 0}, y + offset, plan.map.channels,
                   vector.count, scratch.result, place.around(image, layout.images, v, y, x));
  });
}

template <int kFrom, int kCount>
HWY_INLINE Vec add_scaled(Vec sum, const float* pixel, int64_t stride, const Vec (&factors)[kCount]) {
  if constexpr (kFrom < kCount) {
    return add_scaled<kFrom + 1>(hn::MulAdd(factors[kFrom], load(pixel + kFrom * stride), sum), pixel, stride, factors);
  }
  return sum;
}

/// To the images of a plane, `to` on, the sum of kCount branches, each times its factor, and a bias.
/// \param factors  [kCount + 1][lanes], the bias behind them
template <int kCount>
void add_branches(const PlaneLayout& layout, const float* branches, int64_t branch_stride, const float* factors,
                  float* to, int64_t stride, int64_t count) {
  Vec of_branches[kCount];
  load_all<0>(of_branches, factors, kLanes);
  const Vec bias = load(factors + kCount * kLanes);
  for (int64_t image = 0; image < layout.images; ++image) {
    for (int64_t y = 0; y < layout.height; ++y) {
      const float* pixel = branches + layout.row(image, y);
      for (int64_t x = 0; x < layout.image_width; ++x, pixel += kLanes, to += stride) {
        store_channels(add_scaled<0>(bias, pixel, branch_stride, of_branches), to, count);
      }
    }
  }
}

/// Forward 2 of a line whose branches are at hand.
/// \param kept     all branches of the task, or null: statistics_task left them in scratch
/// \param factors  [count + 1][lanes] of each vector, merged() apart: those of the branches and the bias
inline void combine_task(const BlockPlan& plan, const float* factors, const float* kept, float* y, int64_t task,
                         float* start) {
  using Add = void (*)(const PlaneLayout&, const float*, int64_t, const float*, float*, int64_t, int64_t);
  static constexpr Add kAdd[kMaxBranches] = {add_branches<1>, add_branches<2>, add_branches<3>, add_branches<4>,
                                             add_branches<5>, add_branches<6>, add_branches<7>, add_branches<8>};
  const Place place(plan.map, plan.grid, task);
  const float* branches = kept ? kept : Scratch(plan, start).branches;
  for_each_plane(plan, place, [&](const PlaneLayout& layout, int64_t image, int64_t i, int64_t v) {
    const auto vector = place.vector(v);
    kAdd[plan.count - 1](layout, branches + plan.kept_start(v, i), plan.layouts.floats(), factors + v * plan.merged(),
                         y + place.offset(image, vector), plan.map.channels, vector.count);
  });
}

/// x and dy of all vectors of a plane's images.
/// \param to  the planes of the first vector
inline void pack_both(const PlaneLayout& layout, const Place& place, int64_t image, const float* x, const float* dy,
                      const Scratch& scratch, const BlockPlanes& to) {
  const int64_t offset = place.offset(image, place.vector(0));
  pack_planes(layout, place, x + offset, to.x, scratch.vector_stride);
  pack_planes(layout, place, dy + offset, to.dy, scratch.vector_stride);
}

/// Backward 1: correlation of dy with x at every tap of the large kernel and, behind it, the sum of dy.
inline void correlation_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* x, const float* dy,
                             int64_t task, float* sums, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  fill_zero(sums, plan.vectors * plan.correlation());
  for_each_plane(plan, place, [&](const PlaneLayout& layout, int64_t image, int64_t, int64_t v) {
    const auto of = scratch.plane(plan, v, 0);
    if (v == 0) pack_both(layout, place, image, x, dy, scratch, of);
    float* of_vector = sums + v * plan.correlation();
    float* total = of_vector + plan.large().taps * kLanes;
    add_correlation(planes, layout, of.dy, of.x, plan.large().size, plan.large().dilation, scratch.sums, of_vector,
                    place.after(image, layout.images, v, x, dy));
    store(hn::Add(load(total), sum_plane(layout, of.dy)), total);
  });
}

/// What the gradients of a plane are made of: its x and dy from the maps, those of all vectors with the first one's,
/// and its branches unless they are kept.
/// \param filters  of the line
inline void recall_plane(const PlaneFunctions& planes, const BlockPlan& plan, const PlaneLayout& layout,
                         const Place& place, int64_t image, int64_t v, const float* filters, const float* x,
                         const float* dy, bool kept, const Scratch& scratch, const BlockPlanes& to) {
  if (v == 0) pack_both(layout, place, image, x, dy, scratch, to);
  if (kept) return;
  convolve_branches(planes, plan, layout, filters + v * plan.filters(), to,
                    place.after(image, layout.images, v, x, dy));
}

template <int kFrom, int kCount, int kSums>
HWY_INLINE void add_products_with(Vec (&sums)[kSums], const Vec (&values)[kCount], Vec factor) {
  if constexpr (kFrom < kCount) {
    sums[kFrom] = hn::MulAdd(values[kFrom], factor, sums[kFrom]);
    add_products_with<kFrom + 1>(sums, values, factor);
  }
}

/// Add to `to` [kCount + 1][lanes], for kCount branches, the sums over a plane of dy times what they are above their
/// means, and the sum of dy.
template <int kCount>
void add_centred_products_with(const PlaneLayout& layout, const float* dy, const float* branches, int64_t stride,
                               const float* means, float* to) {
  Vec sums[kCount + 1];
  zero_all<0>(sums);
  for (int64_t y = 0; y < layout.height; ++y) {
    int64_t pixel = y * layout.row_floats() + layout.first_pixel();
    for (int64_t x = 0; x < layout.width; ++x, pixel += kLanes) {
      Vec centred[kCount];
      load_centred<0>(centred, branches + pixel, stride, means);
      const Vec gradient = load(dy + pixel);
      add_products_with<0>(sums, centred, gradient);
      sums[kCount] = hn::Add(sums[kCount], gradient);
    }
  }
  add_all<0>(sums, to);
}

/// The means of the branches, [vectors][count][lanes], of a task's channels.
inline void load_means(const BlockPlan& plan, const Place& place, const float* moments, float* means) {
  for (int64_t v = 0; v < place.vectors; ++v) {
    const auto vector = place.vector(v);
    for (int64_t b = 0; b < plan.count; ++b, means += kLanes) {
      store(load_channels(moments + b * plan.map.channels + vector.channel, vector.count), means);
    }
  }
}

/// Backward 1 of a line whose planes stay in scratch for its gradients.
/// \param filters  of the line
/// \param moments  [moment_rows(), channels]
/// \param kept     all branches of the task, or null
/// \param sums     for each vector [count + 1][lanes], correlation() apart: for each branch the sum of dy times what it
///                 is above its mean, and the sum of dy
inline void recall_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters, const float* moments,
                        const float* x, const float* dy, int64_t task, float* kept, float* sums, float* start) {
  using Add = void (*)(const PlaneLayout&, const float*, const float*, int64_t, const float*, float*);
  static constexpr Add kAdd[kMaxBranches] = {add_centred_products_with<1>, add_centred_products_with<2>,
                                             add_centred_products_with<3>, add_centred_products_with<4>,
                                             add_centred_products_with<5>, add_centred_products_with<6>,
                                             add_centred_products_with<7>, add_centred_products_with<8>};
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  HWY_ALIGN float means[kMaxBranches * kMaxLanes];
  load_means(plan, place, moments, means);
  fill_zero(sums, plan.vectors * plan.correlation());
  for_each_plane(plan, place, [&](const PlaneLayout& layout, int64_t image, int64_t i, int64_t v) {
    const auto of = plane_of(plan, v, i, kept, scratch);
    recall_plane(planes, plan, layout, place, image, v, filters, x, dy, kept != nullptr, scratch, of);
    kAdd[plan.count - 1](layout, of.dy, of.branches, scratch.plane_floats, means + v * plan.count * kLanes,
                         sums + v * plan.correlation());
  });
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

/// From the branches of a plane to their gradients, `to` on.
inline void differentiate_branches(const BlockPlan& plan, const PlaneLayout& layout, const float* coefficients,
                                   const BlockPlanes& of, float* to) {
  using Differentiate =
      void (*)(const PlaneLayout&, const float*, const float*, const float*, const float*, float*, int64_t);
  static constexpr Differentiate kDifferentiate[kMaxBranches] = {differentiate<1>, differentiate<2>, differentiate<3>,
                                                                 differentiate<4>, differentiate<5>, differentiate<6>,
                                                                 differentiate<7>, differentiate<8>};
  HWY_ALIGN float means[kMaxBranches * kLanes];
  for (int64_t b = 0; b < plan.count; ++b) {
    store(load(coefficients + (b * kRowsOfBranch + kMean) * kLanes), means + b * kLanes);
  }
  kDifferentiate[plan.count - 1](layout, coefficients, means, of.dy, of.branches, to, plan.layouts.floats());
}

/// Add what branch b has in dx, its gradient convolved with its flipped kernel, to what later branches have: from the
/// last branch down to the first, with which the sum is written to `to`, a vector of a plane's images, of which there
/// are `count` channels. What is in of.dy is lost.
/// \param of  the plane, with the gradients of its branches
inline void add_transposed(const PlaneFunctions& planes, const BlockPlan& plan, const PlaneLayout& layout, int64_t b,
                           const float* filters, const BlockPlanes& of, float* result, float* to, int64_t count,
                           const Upcoming& upcoming) {
  float* const sums[2] = {layout.overlaps() ? result : of.dy, of.dy};
  const bool last = b == plan.count - 1;
  const auto start = last ? kNothing : pixels_of<const float>(layout, sums[(b + 1) % 2]);
  const Term term = term_of(plan, b, of.branch(plan, b), filters);
  if (b > 0) {
    planes.convolve(layout, term, start, pixels_of(layout, sums[b % 2]), upcoming);
  } else {
    convolve_image(planes, layout, term, start, to, plan.map.channels, count, result, upcoming);
  }
}

/// Write the gradient of x (unless dx is null) and add to `sums` those of all kernels that a plane has.
/// \param vector, v  which of its task
/// \param of         what recall_plane left; what is in of.dy is lost
/// \param gradients  planes for the gradients of the branches, which may be of.branches
/// \param sums       of the line
/// \param upcoming   is asked for with the last kernel
inline void differentiate_plane(const PlaneFunctions& planes, const BlockPlan& plan, const PlaneLayout& layout,
                                const ChannelVector& vector, int64_t v, const float* coefficients,
                                const BlockPlanes& of, float* gradients, float* dx, float* sums, const Scratch& scratch,
                                const Upcoming& upcoming) {
  differentiate_branches(plan, layout, coefficients + v * plan.coefficients(), of, gradients);
  const BlockPlanes differentiated{of.x, of.dy, gradients};
  const Upcoming of_dx{.maps = {dx, nullptr}, .pixel = plan.map.channels, .pixels = layout.pixels()};
  const int64_t first_filter = v * plan.filters();
  for (int64_t b = plan.count - 1; b >= 0; --b) {  // both while the branch is in the nearest cache
    const auto& branch = plan.branches[b];
    if (dx) {
      add_transposed(planes, plan, layout, b, scratch.flipped + first_filter, differentiated, scratch.result, dx,
                     vector.count,
                     b == 0   ? upcoming
                     : b == 1 ? of_dx
                              : Upcoming());
    }
    add_correlation(planes, layout, differentiated.branch(plan, b), of.x, branch.size, branch.dilation, scratch.sums,
                    sums + first_filter + branch.first_tap * kLanes);
  }
}

/// Backward 2: gradients of x (unless dx is null) and, summed over a chunk of images, of all kernels.
/// \param filters   of the line
/// \param kept      all branches of the task, or null
/// \param recalled  whether scratch is as recall_task left it for this task
inline void gradient_task(const PlaneFunctions& planes, const BlockPlan& plan, const float* filters,
                          const float* coefficients, const float* x, const float* dy, float* dx, int64_t task,
                          float* kept, bool recalled, float* sums, float* start) {
  const Place place(plan.map, plan.grid, task);
  const Scratch scratch(plan, start);
  for (int64_t v = 0; v < place.vectors; ++v) {
    for (int64_t b = 0; b < plan.count; ++b) {
      const int64_t first = v * plan.filters() + plan.branches[b].first_tap * kLanes;
      flip_filters(filters + first, plan.branches[b].taps, scratch.flipped + first);
    }
  }
  fill_zero(sums, plan.vectors * plan.filters());
  for_each_plane(plan, place, [&](const PlaneLayout& layout, int64_t image, int64_t i, int64_t v) {
    const auto vector = place.vector(v);
    const auto of = plane_of(plan, v, i, kept, scratch);
    if (!recalled) recall_plane(planes, plan, layout, place, image, v, filters, x, dy, kept != nullptr, scratch, of);
    const bool next_is_read = recalled && image + layout.images == place.end_image;  // that of the next line
    differentiate_plane(planes, plan, layout, vector, v, coefficients, of, scratch.plane(plan, v, i).branches,
                        dx ? dx + place.offset(image, vector) : nullptr, sums, scratch,
                        next_is_read ? place.after(image, layout.images, v, x, dy) : Upcoming());
  });
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
