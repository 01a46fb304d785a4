#include "unireplk/kernels/tables.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "unireplk/kernels/cpu/layout.h"

namespace unireplk::kernels {
namespace {

constexpr int64_t kStrip = 64;  // channels of a task that adds up images

/// Call visit(first channel, channels) for strips of all channels.
template <class Visit>
void for_each_strip(int64_t channels, const Parallel& parallel, Visit visit) {
  parallel.run(ceil_divide(channels, kStrip),
               [&](int64_t task, int64_t) { visit(task * kStrip, std::min(kStrip, channels - task * kStrip)); });
}

/// Call visit(image, where its row begins) for all images.
template <class Visit>
void for_each_row(const TableShape& shape, const Parallel& parallel, Visit visit) {
  parallel.run(shape.images, [&](int64_t image, int64_t) { visit(image, image * shape.channels); });
}

float grn_divisor(double sum_of_norms, int64_t channels) {
  return static_cast<float>(sum_of_norms / static_cast<double>(channels) + kGrnEps);
}

void move(double momentum, double value, float& running) {
  running = static_cast<float>((1 - momentum) * running + momentum * value);
}

}  // namespace

void grn_factors(const TableShape& shape, const float* gamma, float* norms, float* factor, const Parallel& parallel) {
  for_each_row(shape, parallel, [&](int64_t, int64_t row) {
    float *norm = norms + row, *to = factor + row;
    double sum = 0;
    for (int64_t c = 0; c < shape.channels; ++c) sum += norm[c] = std::sqrt(norm[c]);
    const float divisor = grn_divisor(sum, shape.channels);
    for (int64_t c = 0; c < shape.channels; ++c) to[c] = gamma[c] * (norm[c] / divisor) + 1;
  });
}

void grn_gradients(const TableShape& shape, const float* gamma, const float* norms, const float* products,
                   const GrnGradients& to, std::span<float> workspace, const Parallel& parallel) {
  for_each_row(shape, parallel, [&](int64_t image, int64_t row) {
    const float *norm = norms + row, *product = products + row;
    float *factor = to.factor + row, *slope = to.slope + row;
    double sum = 0, of_mean = 0;
    for (int64_t c = 0; c < shape.channels; ++c) sum += norm[c];
    const float divisor = grn_divisor(sum, shape.channels);
    workspace[static_cast<size_t>(image)] = divisor;
    for (int64_t c = 0; c < shape.channels; ++c) {
      const float relative = norm[c] / divisor;
      factor[c] = gamma[c] * relative + 1;
      slope[c] = product[c] * gamma[c];  // the gradient of the relative norm
      of_mean += static_cast<double>(slope[c] * relative);
    }
    const auto mean = static_cast<float>(of_mean / static_cast<double>(shape.channels));
    for (int64_t c = 0; c < shape.channels; ++c) {
      slope[c] = norm[c] > 0 ? (slope[c] - mean) / (divisor * norm[c]) : 0;
    }
  });
  for_each_strip(shape.channels, parallel, [&](int64_t first, int64_t count) {
    std::array<double, kStrip> sums{};
    for (int64_t n = 0; n < shape.images; ++n) {
      const int64_t row = n * shape.channels + first;
      const float divisor = workspace[static_cast<size_t>(n)];
      for (int64_t c = 0; c < count; ++c) {
        sums[static_cast<size_t>(c)] += static_cast<double>(norms[row + c] / divisor * products[row + c]);
      }
    }
    for (int64_t c = 0; c < count; ++c) to.gamma[first + c] = static_cast<float>(sums[static_cast<size_t>(c)]);
  });
}

void tail_factors(const TableShape& shape, const TailNorm& norm, const TailMoments& moments, double eps,
                  const MovingNorm& moving, const TailFactors& to, const Parallel& parallel) {
  for (int64_t c = 0; c < shape.channels; ++c) {
    to.inverse[c] = static_cast<float>(1 / std::sqrt(static_cast<double>(moments.variance[c]) + eps));
  }
  if (moving.norm.mean) {
    const double unbiased = moments.pixels / (moments.pixels - 1);
    for (int64_t c = 0; c < shape.channels; ++c) {
      move(moving.momentum, moments.mean[c], moving.norm.mean[c]);
      move(moving.momentum, moments.variance[c] * unbiased, moving.norm.variance[c]);
    }
    if (moving.norm.batches) ++*moving.norm.batches;
  }
  for_each_row(shape, parallel, [&](int64_t image, int64_t row) {
    const float mask = norm.mask ? norm.mask[image] : 1;
    for (int64_t c = 0; c < shape.channels; ++c) {
      const float scale = norm.scale ? norm.scale[c] : 1;
      to.slope[row + c] = norm.weight[c] * to.inverse[c] * scale * mask;
      to.shift[row + c] = norm.bias[c] * scale * mask;
    }
  });
}

void tail_sums(const TableShape& shape, const float* sums, const float* products, const float* mask,
               const float* inverse, float* totals, const Parallel& parallel) {
  for_each_strip(shape.channels, parallel, [&](int64_t first, int64_t count) {
    std::array<double, kStrip> sum{}, product{};
    for (int64_t n = 0; n < shape.images; ++n) {
      const int64_t row = n * shape.channels + first;
      const float factor = mask ? mask[n] : 1;
      for (int64_t c = 0; c < count; ++c) {
        sum[static_cast<size_t>(c)] += static_cast<double>(sums[row + c] * factor);
        product[static_cast<size_t>(c)] += static_cast<double>(products[row + c] * factor);
      }
    }
    float *of_sums = totals + first, *of_products = of_sums + shape.channels;
    for (int64_t c = 0; c < count; ++c) {
      of_sums[c] = static_cast<float>(sum[static_cast<size_t>(c)]);
      of_products[c] = static_cast<float>(product[static_cast<size_t>(c)] * inverse[first + c]);
    }
  });
}

void tail_gradients(const TableShape& shape, const TailNorm& norm, const float* inverse, const float* totals,
                    double pixels, double ranks, const TailGradients& to, const Parallel& parallel) {
  const float *sum = totals, *of_normal = totals + shape.channels;
  const auto count = static_cast<float>(pixels), parts = static_cast<float>(ranks);
  const auto scale_of = [&](int64_t c) { return norm.scale ? norm.scale[c] : 1; };
  for (int64_t c = 0; c < shape.channels; ++c) {
    const float scale = scale_of(c);
    to.weight[c] = scale * of_normal[c] / parts;
    to.bias[c] = scale * sum[c] / parts;
    if (to.scale) to.scale[c] = (norm.weight[c] * of_normal[c] + norm.bias[c] * sum[c]) / parts;
  }
  for_each_row(shape, parallel, [&](int64_t image, int64_t row) {
    const float mask = norm.mask ? norm.mask[image] : 1;
    for (int64_t c = 0; c < shape.channels; ++c) {
      const float slope = norm.weight[c] * inverse[c] * scale_of(c), share = slope / count;
      to.factor[row + c] = slope * mask;
      to.slope[row + c] = -(share * inverse[c] * of_normal[c]);
      to.shift[row + c] = -(share * sum[c]);
    }
  });
}

}  // namespace unireplk::kernels
