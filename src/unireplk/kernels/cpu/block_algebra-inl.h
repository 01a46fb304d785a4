// What the norms of a block come to (block.h), in float64, for a vector of channels. Compiled once for each instruction
// set: include it after hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_BLOCK_ALGEBRA_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_BLOCK_ALGEBRA_INL_H
#undef UNIREPLK_KERNELS_CPU_BLOCK_ALGEBRA_INL_H
#else
#define UNIREPLK_KERNELS_CPU_BLOCK_ALGEBRA_INL_H
#endif

#include "unireplk/kernels/cpu/block_plan.h"
#include "unireplk/kernels/cpu/channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

/// A part of a vector of channels, from a lane on.
using Wide = hn::Vec<Doubles>;

HWY_INLINE Wide wide(double value) { return hn::Set(Doubles(), value); }
HWY_INLINE Wide wide_zero() { return hn::Zero(Doubles()); }

/// Share of the branches' own deviation below which that of their sum, squared, is lost in rounding.
constexpr double kCancellation = 1e-4;

/// Rows [rows][lanes] of the moments, which lie in memory as [rows][channels].
class VectorMoments {
 public:
  explicit VectorMoments(const BlockPlan& plan) : plan_(plan) {}
  VectorMoments(const BlockPlan& plan, const ChannelVector& vector, const float* moments) : plan_(plan) {
    const float* from = moments + vector.channel;
    for (int64_t row = 0; row < rows(); ++row, from += plan.map.channels) {
      store(load_channels(from, vector.count), rows_ + row * kLanes);
    }
  }

  void write(const ChannelVector& vector, float* moments) const {
    float* to = moments + vector.channel;
    for (int64_t row = 0; row < rows(); ++row, to += plan_.map.channels) {
      store_channels(load(rows_ + row * kLanes), to, vector.count);
    }
  }

  Wide mean(int64_t branch, int64_t lane) const { return load_doubles(rows_ + branch * kLanes + lane); }
  Wide covariance(int64_t a, int64_t b, int64_t lane) const {
    const int64_t pair = a <= b ? pair_index(a, b, plan_.count) : pair_index(b, a, plan_.count);
    return load_doubles(rows_ + (plan_.count + pair) * kLanes + lane);
  }
  Wide variance_of_sum(int64_t lane) const { return load_doubles(rows_ + (rows() - 1) * kLanes + lane); }

  void set_mean(int64_t branch, int64_t lane, Wide value) { store_doubles(value, rows_ + branch * kLanes + lane); }
  void set_pair(int64_t pair, int64_t lane, Wide value) {
    store_doubles(value, rows_ + (plan_.count + pair) * kLanes + lane);
  }
  void set_variance_of_sum(int64_t lane, Wide value) { set_pair(plan_.products(), lane, value); }

 private:
  int64_t rows() const { return plan_.count + plan_.products() + 1; }

  const BlockPlan& plan_;
  HWY_ALIGN float rows_[(kMaxBranches + kMaxBranches * (kMaxBranches + 1) / 2 + 1) * kLanes];
};

/// `count` values at any address as doubles.
HWY_INLINE Wide load_wide(const float* from, int64_t count, int64_t lane) {
  HWY_ALIGN float values[kLanes];
  store(load_channels(from, count), values);
  return load_doubles(values + lane);
}

/// The factors that norms multiply with, of a part of a vector.
struct Norms {
  /// \param moments  the variance of the sum is used for the outer norm alone.
  Norms(const BlockPlan& plan, double eps, const BlockWeights& weights, const ChannelVector& vector,
        const VectorMoments& moments, int64_t lane) {
    for (int64_t b = 0; b < plan.count; ++b) {
      const float* gamma = weights.branches[static_cast<size_t>(b)].gamma + vector.channel;
      sigma[b] = hn::Sqrt(moments.covariance(b, b, lane) + wide(eps));
      slope[b] = load_wide(gamma, vector.count, lane) / sigma[b];
    }
    outer_sigma = hn::Sqrt(moments.variance_of_sum(lane) + wide(eps));
    outer_slope = load_wide(weights.gamma + vector.channel, vector.count, lane) / outer_sigma;
  }

  Wide sigma[kMaxBranches];  ///< square root of variance + eps
  Wide slope[kMaxBranches];  ///< gamma / sigma
  Wide outer_sigma;
  Wide outer_slope;
};

/// (C a)_b
HWY_INLINE Wide covariance_with_sum(const BlockPlan& plan, const Norms& norms, const VectorMoments& moments, int64_t b,
                                    int64_t lane) {
  Wide sum = wide_zero();
  for (int64_t d = 0; d < plan.count; ++d) sum = sum + moments.covariance(b, d, lane) * norms.slope[d];
  return sum;
}

/// The moments of a part of a vector from those of its chunks, sums of products still.
/// \param partials  of its first chunk, vectors * moments() floats before those of the next
inline void merge_chunks(const BlockPlan& plan, const float* partials, int64_t lane, VectorMoments& merged) {
  Wide mean[kMaxBranches], sums[kMaxBranches * (kMaxBranches + 1) / 2], delta[kMaxBranches];
  for (int64_t b = 0; b < plan.count; ++b) mean[b] = wide_zero();
  for (int64_t pair = 0; pair < plan.products(); ++pair) sums[pair] = wide_zero();
  double pixels = 0;
  for (int64_t chunk = 0; chunk < plan.grid.chunks; ++chunk) {
    const float* partial = partials + chunk * plan.vectors * plan.moments() + lane;
    const double more = plan.pixels(plan.chunk_images(chunk)), total = pixels + more;
    for (int64_t b = 0; b < plan.count; ++b) delta[b] = load_doubles(partial + b * kLanes) - mean[b];
    for (int64_t b = 0; b < plan.count; ++b) {
      const Wide weighted = delta[b] * wide(pixels * more / total);
      for (int64_t d = b; d < plan.count; ++d) {
        const int64_t pair = pair_index(b, d, plan.count);
        sums[pair] = sums[pair] + load_doubles(partial + (plan.count + pair) * kLanes) + weighted * delta[d];
      }
      mean[b] = mean[b] + delta[b] * wide(more / total);
    }
    pixels = total;
  }
  for (int64_t b = 0; b < plan.count; ++b) merged.set_mean(b, lane, mean[b]);
  for (int64_t pair = 0; pair < plan.products(); ++pair) merged.set_pair(pair, lane, sums[pair] / wide(pixels));
  merged.set_variance_of_sum(lane, wide_zero());
}

/// Write the moments of a line from those of its chunks.
/// \param partials  [chunks][vectors][moments()]
inline void merge_line(const BlockPlan& plan, int64_t line, const float* partials, float* moments) {
  const Place place(plan.map, plan.grid, line * plan.grid.chunks);
  for (int64_t v = 0; v < place.vectors; ++v) {
    VectorMoments merged(plan);
    for (int64_t lane = 0; lane < kLanes; lane += kDoubles) {
      merge_chunks(plan, partials + v * plan.moments(), lane, merged);
    }
    merged.write(place.vector(v), moments);
  }
}

/// Set the variance of the sum of the normalised branches of vector `v`, which is in the moments, from the others.
/// \param slopes   written, [count][lanes]: what the branches are multiplied with in that sum
/// \param cancels  written, [lanes]: whether so little is left of them that the variance means nothing
inline void variances_of_sum(const BlockPlan& plan, double eps, const BlockWeights& weights, int64_t line, int64_t v,
                             float* moments, double* slopes, bool* cancels) {
  const auto vector = Place(plan.map, plan.grid, line * plan.grid.chunks).vector(v);
  VectorMoments of(plan, vector, moments);
  HWY_ALIGN double variances[kLanes], deviations[kLanes];
  for (int64_t lane = 0; lane < kLanes; lane += kDoubles) {
    const Norms norms(plan, eps, weights, vector, of, lane);
    Wide variance = wide_zero(), deviation = wide_zero();
    for (int64_t b = 0; b < plan.count; ++b) {
      variance = variance + norms.slope[b] * covariance_with_sum(plan, norms, of, b, lane);
      deviation = deviation + hn::Abs(norms.slope[b]) * hn::Sqrt(of.covariance(b, b, lane));
      hn::Store(norms.slope[b], Doubles(), slopes + b * kLanes + lane);
    }
    hn::Store(variance, Doubles(), variances + lane);
    hn::Store(deviation, Doubles(), deviations + lane);
    of.set_variance_of_sum(lane, hn::IfThenZeroElse(variance < wide_zero(), variance));  // a NaN stays one
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    cancels[lane] = lane < vector.count && variances[lane] < kCancellation * deviations[lane] * deviations[lane];
  }
  of.write(vector, moments);
}

/// Move `count` running values, at any address, towards those of [lanes].
HWY_INLINE void move_running(double momentum, const double* values, int64_t count, float* running) {
  for (int64_t lane = 0; lane < count; ++lane) {
    running[lane] = static_cast<float>((1 - momentum) * running[lane] + momentum * values[lane]);
  }
}

/// Move the running statistics of vector `v`.
/// \param pixels  over which the moments are taken
inline void update_running(const BlockPlan& plan, const BlockWeights& weights, const ChannelVector& vector,
                           const VectorMoments& moments, double pixels, const RunningStatistics& running) {
  const double unbiased = pixels / (pixels - 1);
  HWY_ALIGN double values[kLanes], mean_of_sum[kLanes] = {};
  const auto move = [&](const auto& value_at, float* of_norm) {
    for (int64_t lane = 0; lane < kLanes; lane += kDoubles) hn::Store(value_at(lane), Doubles(), values + lane);
    move_running(running.momentum, values, vector.count, of_norm + vector.channel);
  };
  for (int64_t b = 0; b < plan.count; ++b) {
    const auto& norm = running.branches[static_cast<size_t>(b)];
    move([&](int64_t lane) { return moments.mean(b, lane); }, norm.mean);
    move([&](int64_t lane) { return moments.covariance(b, b, lane) * wide(unbiased); }, norm.variance);
    const float* beta = weights.branches[static_cast<size_t>(b)].beta + vector.channel;
    for (int64_t lane = 0; lane < vector.count; ++lane) mean_of_sum[lane] += beta[lane];
  }
  move_running(running.momentum, mean_of_sum, vector.count, running.outer.mean + vector.channel);
  move([&](int64_t lane) { return moments.variance_of_sum(lane) * wide(unbiased); }, running.outer.variance);
}

/// What y is of the branches of vector `v`, and move their running statistics.
/// \param pixels   over which the moments are taken
/// \param running  or null
/// \param factors  written, [count][lanes]: what branches are multiplied with
/// \param bias     written, [lanes]: beta - sum of factor * mean
inline void output_factors(const BlockPlan& plan, double eps, const BlockWeights& weights, int64_t line, int64_t v,
                           const float* moments, double pixels, const RunningStatistics* running, double* factors,
                           float* bias) {
  const auto vector = Place(plan.map, plan.grid, line * plan.grid.chunks).vector(v);
  const VectorMoments of(plan, vector, moments);
  for (int64_t lane = 0; lane < kLanes; lane += kDoubles) {
    const Norms norms(plan, eps, weights, vector, of, lane);
    Wide mean = wide_zero();
    for (int64_t b = 0; b < plan.count; ++b) {
      mean = mean + norms.slope[b] * of.mean(b, lane);
      hn::Store(norms.outer_slope * norms.slope[b], Doubles(), factors + b * kLanes + lane);
    }
    store_doubles(load_wide(weights.beta + vector.channel, vector.count, lane) - norms.outer_slope * mean, bias + lane);
  }
  if (running) update_running(plan, weights, vector, of, pixels, *running);
}

/// Of vector `v`: write the gradients of all norms, and the coefficients of gradient_task.
/// \param pixels        over which moments and products are taken
/// \param products      [count + 1][lanes]: for each branch the sum over pixels of dy times the branch, and the sum of
///                      dy
/// \param coefficients  of the vector
inline void finish_norm_gradients(const BlockPlan& plan, double eps, const BlockWeights& weights, int64_t line,
                                  int64_t v, const float* moments, double pixels, const double* products,
                                  const BlockGradients& gradients, float* coefficients) {
  const auto vector = Place(plan.map, plan.grid, line * plan.grid.chunks).vector(v);
  const VectorMoments of(plan, vector, moments);
  HWY_ALIGN float gammas[(kMaxBranches + 1) * kLanes], betas[kLanes];  // that of the outer norm behind the others
  for (int64_t lane = 0; lane < kLanes; lane += kDoubles) {
    const Norms norms(plan, eps, weights, vector, of, lane);
    const Wide sum_dy = hn::Load(Doubles(), products + plan.count * kLanes + lane);
    Wide inner[kMaxBranches];  // sum over pixels of dy times the centred branch
    Wide outer = wide_zero();  // gradient of the outer gamma
    for (int64_t b = 0; b < plan.count; ++b) {
      inner[b] = hn::Load(Doubles(), products + b * kLanes + lane) - of.mean(b, lane) * sum_dy;
      outer = outer + norms.slope[b] * inner[b] / norms.outer_sigma;
    }
    const auto set = [&](int64_t row, Wide value) { store_doubles(value, coefficients + row * kLanes + lane); };
    for (int64_t b = 0; b < plan.count; ++b) {
      const Wide taken_back = outer / norms.outer_sigma * covariance_with_sum(plan, norms, of, b, lane);
      const Wide gamma = norms.outer_slope / norms.sigma[b] * (inner[b] - taken_back);
      store_doubles(gamma, gammas + b * kLanes + lane);
      const int64_t row = b * kRowsOfBranch;
      set(row + kMean, of.mean(b, lane));
      set(row + kSlope, norms.slope[b]);
      set(row + kGradientScale, norms.slope[b] * norms.outer_slope);
      set(row + kSpread, norms.slope[b] * gamma / (wide(pixels) * norms.sigma[b]));
    }
    set(plan.count * kRowsOfBranch, sum_dy / wide(pixels));
    set(plan.count * kRowsOfBranch + 1, outer / (wide(pixels) * norms.outer_sigma));
    store_doubles(outer, gammas + plan.count * kLanes + lane);
    store_doubles(sum_dy, betas + lane);
  }
  for (int64_t b = 0; b <= plan.count; ++b) {
    float* gamma = b < plan.count ? gradients.branches[static_cast<size_t>(b)].gamma : gradients.gamma;
    store_channels(load(gammas + b * kLanes), gamma + vector.channel, vector.count);
  }
  store_channels(load(betas), gradients.beta + vector.channel, vector.count);
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
