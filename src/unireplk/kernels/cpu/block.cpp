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

/// The filters of all branches, [vectors of the line][filters()]: once for all tasks, they lie as far apart as pixels.
void pack_branch_filters(const BlockPlan& plan, const float* const* weights, int64_t line, float* filters) {
  const Place place(plan.map, plan.grid, line * plan.grid.chunks);
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

// ---- moments of planes

template <int kFrom, int kCount>
HWY_INLINE void zero_all(Vec (&values)[kCount]) {
  if constexpr (kFrom < kCount) {
    values[kFrom] = zero();
    zero_all<kFrom + 1>(values);
  }
}

template <int kFrom, int kCount>
HWY_INLINE void add_all(const Vec (&values)[kCount], float* to) {
  if constexpr (kFrom < kCount) {
    store(hn::Add(load(to), values[kFrom]), to);
    add_all<kFrom + 1>(values, to + kLanes);
  }
}

/// A pixel of kCount planes, `stride` apart, less their means.
template <int kFrom, int kCount>
HWY_INLINE void load_centred(Vec (&values)[kCount], const float* pixel, int64_t stride, const float* means) {
  if constexpr (kFrom < kCount) {
    values[kFrom] = hn::Sub(load(pixel + kFrom * stride), load(means + kFrom * kLanes));
    load_centred<kFrom + 1>(values, pixel, stride, means);
  }
}

/// Of values 0 .. kRows - 1 the products with all from itself on, in the order of an upper triangle.
template <int kA, int kB, int kRows, int kCount, int kSums>
HWY_INLINE void add_products_of_pixel(Vec (&sums)[kSums], const Vec (&values)[kCount]) {
  if constexpr (kA < kRows) {
    Vec& sum = sums[pair_index(kA, kB, kCount)];
    sum = hn::MulAdd(values[kA], values[kB], sum);
    if constexpr (kB + 1 < kCount) {
      add_products_of_pixel<kA, kB + 1, kRows>(sums, values);
    } else {
      add_products_of_pixel<kA + 1, kA + 1, kRows>(sums, values);
    }
  }
}

/// Planes whose products with all others are taken in one pass: as many as leave their sums in registers.
constexpr int rows_at_once(int count) { return count < 2 ? count : kLanes == kMaxLanes && count <= 6 ? count : 2; }

/// Of planes 0 .. kCount - 1, `stride` apart: add to `sums` the rows of the upper triangle of their centred products
/// that one pass takes.
template <int kCount>
void add_centred_products(const PlaneLayout& layout, const float* planes, int64_t stride, const float* means,
                          float* to) {
  constexpr int kRows = rows_at_once(kCount);
  constexpr int kSums = static_cast<int>(pair_index(kRows - 1, kCount - 1, kCount)) + 1;
  Vec sums[kSums];
  zero_all<0>(sums);
  for (int64_t y = 0; y < layout.height; ++y) {
    const float* pixel = planes + y * layout.row_floats() + layout.first_pixel();
    for (int64_t x = 0; x < layout.width; ++x, pixel += kLanes) {
      Vec values[kCount];
      load_centred<0>(values, pixel, stride, means);
      add_products_of_pixel<0, 0, kRows>(sums, values);
    }
  }
  add_all<0>(sums, to);
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
  for (int64_t b = 0; b < count; b += rows_at_once(static_cast<int>(count - b))) {
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

// ---- kernels of the branches, all channels of a vector at once, in float64

using Doubles = hn::ScalableTag<double>;
constexpr int64_t kDoubles = static_cast<int64_t>(hn::MaxLanes(Doubles()));

HWY_INLINE hn::Vec<Doubles> load_doubles(const float* from) {
  return hn::PromoteTo(Doubles(), hn::Load(hn::Rebind<float, Doubles>(), from));
}

HWY_INLINE void store_doubles(hn::Vec<Doubles> value, float* to) {
  const hn::Rebind<float, Doubles> floats;
  hn::Store(hn::DemoteTo(floats, value), floats, to);
}

/// Call visit(tap of the branch, tap of the large kernel at the same place).
template <class Visit>
HWY_INLINE void for_each_tap(const BlockPlan& plan, int64_t b, Visit visit) {
  const auto& branch = plan.branches[b];
  const int64_t start = plan.large().size / 2 - branch.dilation * (branch.size / 2);
  for (int64_t y = 0; y < branch.size; ++y) {
    const int64_t large = (start + y * branch.dilation) * plan.large().size + start;
    for (int64_t x = 0; x < branch.size; ++x) visit(y * branch.size + x, large + x * branch.dilation);
  }
}

/// Write the sum of the kernels of all branches, each times its factor, to merged [taps of the large one][lanes].
/// \param filters  of the vector
/// \param factors  [count][lanes]
void merge_kernels(const BlockPlan& plan, const float* filters, const double* factors, float* merged, float* start) {
  auto* sums = reinterpret_cast<double*>(start);
  for (int64_t lane = 0; lane < kLanes; lane += kDoubles) {
    for (int64_t b = 0; b < plan.count; ++b) {
      const float* of_branch = filters + plan.branches[b].first_tap * kLanes + lane;
      const auto factor = hn::Load(Doubles(), factors + b * kLanes + lane);
      for_each_tap(plan, b, [&](int64_t tap, int64_t large_tap) {
        const auto weight = load_doubles(of_branch + tap * kLanes);
        double* sum = sums + large_tap * kDoubles;  // the large kernel, which is first, has them all
        hn::Store(b == 0 ? hn::Mul(weight, factor) : hn::MulAdd(weight, factor, hn::Load(Doubles(), sum)), Doubles(),
                  sum);
      });
    }
    for (int64_t tap = 0; tap < plan.large().taps; ++tap) {
      store_doubles(hn::Load(Doubles(), sums + tap * kDoubles), merged + tap * kLanes + lane);
    }
  }
}

/// Sums over the chunks of a line, whose parts lie `stride` floats apart.
/// \return  `parts` itself if there is one, or `to`.
const float* add_chunks(const BlockPlan& plan, const float* parts, int64_t stride, int64_t floats, float* to) {
  if (plan.grid.chunks == 1) return parts;
  for (int64_t i = 0; i < floats; i += kDoubles) {
    auto sum = hn::Zero(Doubles());
    for (int64_t chunk = 0; chunk < plan.grid.chunks; ++chunk) {
      sum = hn::Add(sum, load_doubles(parts + chunk * stride + i));
    }
    store_doubles(sum, to + i);
  }
  return to;
}

/// Between the two passes of backward: for each branch the sum over pixels of dy times the branch and, behind them, the
/// sum of dy.
/// \param filters   of the vector
/// \param parts     those of its first chunk, vectors * correlation() floats before those of the next
/// \param products  written, [count + 1][lanes]
void branch_products(const BlockPlan& plan, const float* filters, const float* parts, double* products, float* start) {
  const float* correlation = add_chunks(plan, parts, plan.vectors * plan.correlation(), plan.correlation(), start);
  for (int64_t lane = 0; lane < kLanes; lane += kDoubles) {
    for (int64_t b = 0; b < plan.count; ++b) {
      const float* of_branch = filters + plan.branches[b].first_tap * kLanes + lane;
      auto sum = hn::Zero(Doubles());
      for_each_tap(plan, b, [&](int64_t tap, int64_t large_tap) {
        sum = hn::MulAdd(load_doubles(of_branch + tap * kLanes), load_doubles(correlation + large_tap * kLanes + lane),
                         sum);
      });
      hn::Store(sum, Doubles(), products + b * kLanes + lane);
    }
    hn::Store(load_doubles(correlation + plan.large().taps * kLanes + lane), Doubles(),
              products + plan.count * kLanes + lane);
  }
}

/// Behind the second pass of backward: the gradients of all kernels of a line.
/// \param parts  [chunks][vectors][filters()]
void finish_kernel_gradients(const BlockPlan& plan, int64_t line, const float* parts, float* const* gradients,
                             float* start) {
  const Place place(plan.map, plan.grid, line * plan.grid.chunks);
  for (int64_t v = 0; v < place.vectors; ++v) {
    const auto [channel, count] = place.vector(v);
    const float* sums =
        add_chunks(plan, parts + v * plan.filters(), plan.vectors * plan.filters(), plan.filters(), start);
    for (int64_t b = 0; b < plan.count; ++b) {
      const auto& branch = plan.branches[b];
      unpack_filters(sums + branch.first_tap * kLanes, branch.taps, count, gradients[b] + channel * branch.taps);
    }
  }
}

// ---- tasks

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
