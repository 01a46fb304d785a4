// The kernels of branches and their gradients, all channels of a vector at once; what is made of them, in float64.
// Compiled once for each instruction set: include it after hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_BRANCH_KERNELS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_BRANCH_KERNELS_INL_H
#undef UNIREPLK_KERNELS_CPU_BRANCH_KERNELS_INL_H
#else
#define UNIREPLK_KERNELS_CPU_BRANCH_KERNELS_INL_H
#endif

#include "unireplk/kernels/cpu/block_plan.h"
#include "unireplk/kernels/cpu/channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

/// The filters of all branches, [vectors of the line][filters()]: once for all tasks, they lie as far apart as pixels.
inline void pack_branch_filters(const BlockPlan& plan, const float* const* weights, int64_t line, float* filters) {
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
inline void merge_kernels(const BlockPlan& plan, const float* filters, const double* factors, float* merged,
                          float* start) {
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

/// Between the two passes of backward: for each branch the sum over pixels of dy times the branch and, behind them, the
/// sum of dy.
/// \param filters   of the vector
/// \param parts     those of its first chunk, vectors * correlation() floats before those of the next
/// \param products  written, [count + 1][lanes]
inline void branch_products(const BlockPlan& plan, const float* filters, const float* parts, double* products,
                            float* start) {
  const float* correlation =
      add_chunks(plan.grid.chunks, parts, plan.vectors * plan.correlation(), plan.correlation(), start);
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
inline void finish_kernel_gradients(const BlockPlan& plan, int64_t line, const float* parts, float* const* gradients,
                                    float* start) {
  const Place place(plan.map, plan.grid, line * plan.grid.chunks);
  for (int64_t v = 0; v < place.vectors; ++v) {
    const auto [channel, count] = place.vector(v);
    const float* sums =
        add_chunks(plan.grid.chunks, parts + v * plan.filters(), plan.vectors * plan.filters(), plan.filters(), start);
    for (int64_t b = 0; b < plan.count; ++b) {
      const auto& branch = plan.branches[b];
      unpack_filters(sums + branch.first_tap * kLanes, branch.taps, count, gradients[b] + channel * branch.taps);
    }
  }
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
