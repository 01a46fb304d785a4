#include "unireplk/data/image/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "unireplk/core/error.h"

namespace unireplk::data::image {
namespace {

constexpr int kBits = 22;  // fraction of a weight: 255 * sum of |weights| stays below 2^31
constexpr int32_t kHalf = 1 << (kBits - 1);

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

double bilinear(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

/// The inputs [first, first + weights) of each output along one axis.
struct Axis {
  std::vector<int64_t> first;
  std::vector<int64_t> count;
  std::vector<int32_t> weights;  // `stride` for each output
  int64_t stride = 0;

  std::span<const int32_t> of(int64_t output) const {
    const auto o = static_cast<size_t>(output);
    return {weights.data() + output * stride, static_cast<size_t>(count[o])};
  }
};

int32_t fixed_point(double weight) { return static_cast<int32_t>(weight * (1 << kBits) + (weight < 0 ? -0.5 : 0.5)); }

Axis make_axis(int64_t in, int64_t out, Interpolation interpolation) {
  const auto filter = interpolation == Interpolation::kBicubic ? bicubic : bilinear;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0);
  const double support = (interpolation == Interpolation::kBicubic ? 2.0 : 1.0) * stretch;
  const double shrink = 1.0 / stretch;

  Axis axis;
  axis.stride = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  axis.weights.resize(static_cast<size_t>(out * axis.stride));
  std::vector<double> exact(static_cast<size_t>(axis.stride));
  for (int64_t o = 0; o < out; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) * scale;
    const int64_t low = std::max(static_cast<int64_t>(centre - support + 0.5), int64_t{0});
    const int64_t high = std::min(static_cast<int64_t>(centre + support + 0.5), in);
    const auto count = static_cast<size_t>(high - low);
    double sum = 0.0;
    for (size_t i = 0; i < count; ++i) {
      exact[i] = filter((static_cast<double>(low + static_cast<int64_t>(i)) - centre + 0.5) * shrink);
      sum += exact[i];
    }
    int32_t* weights = axis.weights.data() + o * axis.stride;
    for (size_t i = 0; i < count; ++i) weights[i] = fixed_point(exact[i] / sum);
    axis.first.push_back(low);
    axis.count.push_back(high - low);
  }
  return axis;
}

uint8_t rounded(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

template <int kChannels>
void resize_row(const uint8_t* in, uint8_t* out, const Axis& axis, int64_t width) {
  for (int64_t x = 0; x < width; ++x, out += kChannels) {
    const uint8_t* pixel = in + axis.first[static_cast<size_t>(x)] * kChannels;
    std::array<int32_t, kChannels> sum;
    sum.fill(kHalf);
    for (const int32_t weight : axis.of(x)) {
      for (size_t c = 0; c < kChannels; ++c) sum[c] += weight * pixel[c];
      pixel += kChannels;
    }
    for (size_t c = 0; c < kChannels; ++c) out[c] = rounded(sum[c]);
  }
}

Image resize_width(const Image& image, int64_t width, Interpolation interpolation) {
  const Axis axis = make_axis(image.width, width, interpolation);
  Image out = Image::zeros(width, image.height, image.channels);
  const auto row = image.channels == 1 ? resize_row<1> : resize_row<3>;
  for (int64_t y = 0; y < image.height; ++y) row(image.row(y), out.row(y), axis, width);
  return out;
}

Image resize_height(const Image& image, int64_t height, Interpolation interpolation) {
  const Axis axis = make_axis(image.height, height, interpolation);
  Image out = Image::zeros(image.width, height, image.channels);
  const auto bytes = static_cast<size_t>(image.row_bytes());
  std::vector<int32_t> sums(bytes);
  for (int64_t y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const uint8_t* in = image.row(axis.first[static_cast<size_t>(y)]);
    for (const int32_t weight : axis.of(y)) {
      for (size_t x = 0; x < bytes; ++x) sums[x] += weight * in[x];
      in += bytes;
    }
    std::transform(sums.begin(), sums.end(), out.row(y), rounded);
  }
  return out;
}

}  // namespace

bool resize_fits(const Image& image, int64_t width, int64_t height) {
  return width > 0 && height > 0 && width <= kMaxPixels / std::max(height, image.height);
}

Image resize(const Image& image, int64_t width, int64_t height, Interpolation interpolation) {
  UNIREPLK_CHECK(resize_fits(image, width, height), "resize: cannot make {} x {} of {} x {}", width, height,
                 image.width, image.height);
  if (width == image.width && height == image.height) return image;
  if (width == image.width) return resize_height(image, height, interpolation);
  Image out = resize_width(image, width, interpolation);
  return height == image.height ? out : resize_height(out, height, interpolation);
}

}  // namespace unireplk::data::image
