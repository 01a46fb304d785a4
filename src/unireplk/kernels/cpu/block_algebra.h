#pragma once

#include "unireplk/kernels/cpu/block_plan.h"

/// What the norms of a block come to, channel by channel, in float64 (block.h).
namespace unireplk::kernels {

/// One channel's column of the moments [rows, channels].
class ChannelMoments {
 public:
  ChannelMoments(const BlockPlan& plan, const float* moments, int64_t channel)
      : plan_(plan), column_(moments + channel) {}

  double mean(int64_t branch) const { return at(branch); }
  double covariance(int64_t a, int64_t b) const {
    return at(plan_.count + (a <= b ? pair_index(a, b, plan_.count) : pair_index(b, a, plan_.count)));
  }
  double variance_of_sum() const { return at(plan_.count + plan_.products()); }

 private:
  double at(int64_t row) const { return column_[row * plan_.map.channels]; }

  const BlockPlan& plan_;
  const float* column_;
};

void set_variance_of_sum(const BlockPlan& plan, float* moments, int64_t channel, double value);

/// The factors that one channel's norms multiply with.
struct ChannelNorms {
  /// \param moments  the variance of the sum is used for the outer norm alone.
  ChannelNorms(const BlockPlan& plan, double eps, const BlockWeights& weights, const ChannelMoments& moments,
               int64_t channel);

  double sigma[kMaxBranches];  ///< square root of variance + eps
  double slope[kMaxBranches];  ///< gamma / sigma
  double outer_sigma;
  double outer_slope;
};

/// Merge the moments of the chunks of one channel, sums of products still, into its column of `moments`.
/// \param partials  [chunks][vectors][moments()] of the channel's line
void merge_moments(const BlockPlan& plan, int64_t channel, const float* partials, float* moments);

/// The variance of the sum of the normalised branches.
/// \param cancels  set when so little is left of them that the result means nothing.
double variance_of_sum(const BlockPlan& plan, const ChannelNorms& norms, const ChannelMoments& moments, bool& cancels);

/// beta - scale * sum of slope * mean: what the block adds to every pixel.
double merged_bias(const BlockPlan& plan, const BlockWeights& weights, const ChannelNorms& norms,
                   const ChannelMoments& moments, int64_t channel);

/// Move one channel's running statistics.
/// \param pixels  over which the moments are taken
void update_running(const BlockPlan& plan, const BlockWeights& weights, const ChannelMoments& moments, int64_t channel,
                    double pixels, const RunningStatistics& running);

/// Of one channel: write the gradients of all norms, and the coefficients of gradient_task.
/// \param pixels        over which moments and products are taken
/// \param products      [count + 1][channels]: for each branch the sum over pixels of dy times the branch, and the sum
///                      of dy.
/// \param coefficients  of the channel's vector
void finish_norm_gradients(const BlockPlan& plan, double eps, const BlockWeights& weights,
                           const ChannelMoments& moments, int64_t channel, double pixels, const double* products,
                           const BlockGradients& gradients, float* coefficients);

}  // namespace unireplk::kernels
