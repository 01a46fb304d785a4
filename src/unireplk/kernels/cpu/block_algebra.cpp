#include "unireplk/kernels/cpu/block_algebra.h"

#include <algorithm>
#include <cmath>

namespace unireplk::kernels {
namespace {

/// Share of the branches' own deviation below which that of their sum, squared, is lost in rounding.
constexpr double kCancellation = 1e-4;

const BranchWeights& branch_of(const BlockWeights& weights, int64_t b) {
  return weights.branches[static_cast<size_t>(b)];
}

/// (C a)_b
double covariance_with_sum(const BlockPlan& plan, const ChannelNorms& norms, const ChannelMoments& moments, int64_t b) {
  double sum = 0;
  for (int64_t d = 0; d < plan.count; ++d) sum += moments.covariance(b, d) * norms.slope[d];
  return sum;
}

/// Which vector of its line a channel is in.
int64_t vector_of(const BlockPlan& plan, int64_t channel) { return channel % kMaxLanes / plan.lanes; }

void set_moment(const BlockPlan& plan, float* moments, int64_t row, int64_t channel, double value) {
  moments[row * plan.map.channels + channel] = static_cast<float>(value);
}

void move(float& running, double momentum, double value) {
  running = static_cast<float>((1 - momentum) * running + momentum * value);
}

}  // namespace

void set_variance_of_sum(const BlockPlan& plan, float* moments, int64_t channel, double value) {
  set_moment(plan, moments, plan.count + plan.products(), channel, value);
}

ChannelNorms::ChannelNorms(const BlockPlan& plan, double eps, const BlockWeights& weights,
                           const ChannelMoments& moments, int64_t channel) {
  for (int64_t b = 0; b < plan.count; ++b) {
    sigma[b] = std::sqrt(moments.covariance(b, b) + eps);
    slope[b] = branch_of(weights, b).gamma[channel] / sigma[b];
  }
  outer_sigma = std::sqrt(moments.variance_of_sum() + eps);
  outer_slope = weights.gamma[channel] / outer_sigma;
}

void merge_moments(const BlockPlan& plan, int64_t channel, const float* partials, float* moments) {
  double mean[kMaxBranches] = {}, sums[kMaxBranches * (kMaxBranches + 1) / 2] = {};
  double pixels = 0;
  for (int64_t chunk = 0; chunk < plan.grid.chunks; ++chunk) {
    const float* partial =
        partials + (chunk * plan.vectors + vector_of(plan, channel)) * plan.moments() + channel % plan.lanes;
    const double more = plan.pixels(plan.chunk_images(chunk)), all = pixels + more;
    double delta[kMaxBranches];
    for (int64_t b = 0; b < plan.count; ++b) delta[b] = partial[b * plan.lanes] - mean[b];
    for (int64_t b = 0; b < plan.count; ++b) {
      for (int64_t d = b; d < plan.count; ++d) {
        const int64_t pair = pair_index(b, d, plan.count);
        sums[pair] += partial[(plan.count + pair) * plan.lanes] + delta[b] * delta[d] * pixels * more / all;
      }
      mean[b] += delta[b] * more / all;
    }
    pixels = all;
  }
  for (int64_t b = 0; b < plan.count; ++b) set_moment(plan, moments, b, channel, mean[b]);
  for (int64_t pair = 0; pair < plan.products(); ++pair) {
    set_moment(plan, moments, plan.count + pair, channel, sums[pair] / pixels);
  }
  set_variance_of_sum(plan, moments, channel, 0);
}

double variance_of_sum(const BlockPlan& plan, const ChannelNorms& norms, const ChannelMoments& moments, bool& cancels) {
  double variance = 0, deviation = 0;
  for (int64_t b = 0; b < plan.count; ++b) {
    variance += norms.slope[b] * covariance_with_sum(plan, norms, moments, b);
    deviation += std::abs(norms.slope[b]) * std::sqrt(moments.covariance(b, b));
  }
  cancels = variance < kCancellation * deviation * deviation;
  return variance < 0 ? 0 : variance;  // a NaN stays one
}

double merged_bias(const BlockPlan& plan, const BlockWeights& weights, const ChannelNorms& norms,
                   const ChannelMoments& moments, int64_t channel) {
  double mean = 0;
  for (int64_t b = 0; b < plan.count; ++b) mean += norms.slope[b] * moments.mean(b);
  return weights.beta[channel] - norms.outer_slope * mean;
}

void update_running(const BlockPlan& plan, const BlockWeights& weights, const ChannelMoments& moments, int64_t channel,
                    double pixels, const RunningStatistics& running) {
  const double unbiased = pixels / (pixels - 1);
  double mean_of_sum = 0;
  for (int64_t b = 0; b < plan.count; ++b) {
    const auto& norm = running.branches[static_cast<size_t>(b)];
    move(norm.mean[channel], running.momentum, moments.mean(b));
    move(norm.variance[channel], running.momentum, moments.covariance(b, b) * unbiased);
    mean_of_sum += branch_of(weights, b).beta[channel];
  }
  move(running.outer.mean[channel], running.momentum, mean_of_sum);
  move(running.outer.variance[channel], running.momentum, moments.variance_of_sum() * unbiased);
}

void finish_norm_gradients(const BlockPlan& plan, double eps, const BlockWeights& weights,
                           const ChannelMoments& moments, int64_t channel, double pixels, const double* products,
                           const BlockGradients& gradients, float* coefficients) {
  const ChannelNorms norms(plan, eps, weights, moments, channel);
  const int64_t lane = channel % plan.lanes;
  const double sum_dy = products[plan.count * plan.map.channels + channel];

  double inner[kMaxBranches];  // sum over pixels of dy times the centred branch
  double outer = 0;            // gradient of the outer gamma
  for (int64_t b = 0; b < plan.count; ++b) {
    inner[b] = products[b * plan.map.channels + channel] - moments.mean(b) * sum_dy;
    outer += norms.slope[b] * inner[b] / norms.outer_sigma;
  }
  gradients.gamma[channel] = static_cast<float>(outer);
  gradients.beta[channel] = static_cast<float>(sum_dy);
  const auto set = [&](int64_t row, double value) {
    coefficients[row * plan.lanes + lane] = static_cast<float>(value);
  };
  for (int64_t b = 0; b < plan.count; ++b) {
    const double taken_back = outer / norms.outer_sigma * covariance_with_sum(plan, norms, moments, b);
    const double gamma = norms.outer_slope / norms.sigma[b] * (inner[b] - taken_back);
    gradients.branches[static_cast<size_t>(b)].gamma[channel] = static_cast<float>(gamma);
    const int64_t row = b * kRowsOfBranch;
    set(row + kMean, moments.mean(b));
    set(row + kSlope, norms.slope[b]);
    set(row + kGradientScale, norms.slope[b] * norms.outer_slope);
    set(row + kSpread, norms.slope[b] * gamma / (pixels * norms.sigma[b]));
  }
  set(plan.count * kRowsOfBranch, sum_dy / pixels);
  set(plan.count * kRowsOfBranch + 1, outer / (pixels * norms.outer_sigma));
}

}  // namespace unireplk::kernels
