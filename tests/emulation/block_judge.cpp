#include "emulation/block_judge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "emulation/device.h"
#include "unireplk/kernels/cuda/branches.cuh"

namespace unireplk::emulation {
namespace {

using kernels::cuda::branch_dilation;
using kernels::cuda::branch_reach;
using kernels::cuda::branch_size;
using kernels::cuda::kBranches;
using Values = std::vector<double>;  // of one channel, [images, height, width]

double mean_of(const Values& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double product_of(const Values& a, const Values& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

Values scaled(Values values, double factor) {
  for (auto& value : values) value *= factor;
  return values;
}

struct Normed {
  Values values;
  double mean, variance;  // of the batch, biased

  explicit Normed(const Values& of) : values(of), mean(mean_of(of)) {
    for (auto& value : values) value -= mean;
    variance = product_of(values, values) / static_cast<double>(of.size());
    for (auto& value : values) value /= std::sqrt(variance + kEps);
  }

  /// The gradient of what was normed from that of the normed values.
  Values backward(const Values& gradient) const {
    const double mean_gradient = mean_of(gradient);
    const double along = product_of(gradient, values) / static_cast<double>(values.size());
    Values of_input = gradient;
    for (size_t p = 0; p < values.size(); ++p) {
      of_input[p] = (gradient[p] - mean_gradient - values[p] * along) / std::sqrt(variance + kEps);
    }
    return of_input;
  }

  double unbiased_variance() const {
    const auto count = static_cast<double>(values.size());
    return variance * count / (count - 1);
  }
};

/// Call visit(pixel, tap, pixel under the tap) for every pixel and every tap of a branch that lies on the map.
template <class Visit>
void each_tap(const BlockInputs& in, int branch, Visit visit) {
  const int size = branch_size(branch), dilation = branch_dilation(branch), reach = branch_reach(branch);
  for (int p = 0; p < in.pixels(); ++p) {
    const int image = p / (in.height * in.width), y = p / in.width % in.height, x = p % in.width;
    for (int tap = 0; tap < size * size; ++tap) {
      const int to_y = y + tap / size * dilation - reach, to_x = x + tap % size * dilation - reach;
      if (to_y < 0 || to_y >= in.height || to_x < 0 || to_x >= in.width) continue;
      visit(p, tap, (image * in.height + to_y) * in.width + to_x);
    }
  }
}

/// One channel of a block.
class Channel {
 public:
  Channel(const BlockInputs& in, int channel, double (*keep)(double))
      : in_(in), channel_(channel), keep_(keep), x_(of_channel(in.x)) {}

  void judge(BlockResults& out) const {
    std::vector<Normed> branches;
    Values sum(x_.size(), 0.0);
    double beta = 0;
    for (int b = 0; b < kBranches; ++b) {
      branches.emplace_back(branch(b));
      for (size_t p = 0; p < sum.size(); ++p) sum[p] += gamma(b) * branches.back().values[p] + in_.betas[at(b)];
      beta += in_.betas[at(b)];
      put_running(branches.back().mean, branches.back(), b, out);
    }
    const Normed outer(sum);
    put_running(beta, outer, kBranches, out);
    for (int p = 0; p < in_.pixels(); ++p) out.y[at(p)] = in_.gamma[at(0)] * outer.values[p] + in_.beta[at(0)];
    backward(branches, outer, out);
  }

 private:
  int64_t at(int row) const { return int64_t{row} * in_.channels + channel_; }
  double gamma(int branch) const { return in_.gammas[at(branch)]; }

  int64_t weight_at(int branch, int tap) const {
    const int taps = branch_size(branch) * branch_size(branch);
    return start_of_weights(branch, in_.channels) + int64_t{channel_} * taps + tap;
  }

  Values of_channel(const std::vector<double>& map) const {
    Values values;
    for (int p = 0; p < in_.pixels(); ++p) values.push_back(map[at(p)]);
    return values;
  }

  Values branch(int b) const {
    Values z(x_.size(), 0.0);
    each_tap(in_, b, [&](int p, int tap, int under) { z[p] += in_.weights[weight_at(b, tap)] * x_[under]; });
    if (keep_) std::ranges::transform(z, z.begin(), keep_);
    return z;
  }

  void put_running(double mean, const Normed& norm, int row, BlockResults& out) const {
    out.running[at(2 * row)] = kMomentum * mean;
    out.running[at(2 * row + 1)] = 1 - kMomentum + kMomentum * norm.unbiased_variance();
  }

  void backward(const std::vector<Normed>& branches, const Normed& outer, BlockResults& out) const {
    const Values dy = of_channel(in_.dy);
    out.outer[at(0)] = product_of(dy, outer.values);
    out.outer[at(1)] = std::accumulate(dy.begin(), dy.end(), 0.0);
    const Values of_sum = outer.backward(scaled(dy, in_.gamma[at(0)]));
    for (int b = 0; b < kBranches; ++b) {
      out.gammas[at(b)] = product_of(of_sum, branches[b].values);
      const Values dz = branches[b].backward(scaled(of_sum, gamma(b)));
      each_tap(in_, b, [&](int p, int tap, int under) {
        out.weights[weight_at(b, tap)] += dz[p] * x_[under];
        out.dx[at(under)] += dz[p] * in_.weights[weight_at(b, tap)];
      });
    }
  }

  const BlockInputs& in_;
  int channel_;
  double (*keep_)(double);
  Values x_;
};

}  // namespace

int64_t start_of_weights(int branch, int channels) {
  return int64_t{kernels::cuda::first_of_branch(branch)} * channels;
}

BlockResults judge_block(const BlockInputs& in, double (*keep)(double)) {
  const size_t channels = in.channels, values = in.x.size();
  BlockResults out{.y = Values(values),
                   .dx = Values(values),
                   .outer = Values(2 * channels),
                   .gammas = Values(kBranches * channels),
                   .weights = Values(in.weights.size()),
                   .running = Values(2 * (kBranches + 1) * channels)};
  for (int c = 0; c < in.channels; ++c) Channel(in, c, keep).judge(out);
  return out;
}

}  // namespace unireplk::emulation
