#include "unireplk/data/image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "unireplk/core/error.h"
#include "unireplk/data/image/pixel_shape.h"

namespace unireplk::data::image {
namespace {

struct Bicubic {
  static constexpr double kReach = 2.0;

  double operator()(double x) const {
    constexpr double a = -0.5;
    x = std::abs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
  }
};

struct Bilinear {
  static constexpr double kReach = 1.0;

  double operator()(double x) const { return std::max(0.0, 1.0 - std::abs(x)); }
};

int32_t fixed_point(double weight) {
  return static_cast<int32_t>(weight * (1 << kernels::kResamplingBits) + (weight < 0 ? -0.5 : 0.5));
}

/// Where the places of one axis lie in the image.
struct Window {
  int64_t first, end;
  double centre;
};

using Memory = std::pmr::memory_resource;

std::pmr::vector<Window> windows(int64_t in, int64_t out, double scale, double support, Memory& memory) {
  std::pmr::vector<Window> found(&memory);
  found.reserve(static_cast<size_t>(out));
  for (int64_t o = 0; o < out; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) * scale;
    found.push_back({.first = std::max(static_cast<int64_t>(centre - support + 0.5), int64_t{0}),
                     .end = std::min(static_cast<int64_t>(centre + support + 0.5), in),
                     .centre = centre});
  }
  return found;
}

template <class Filter>
kernels::Resampling resampling(int64_t in, int64_t out, Memory& memory) {
  const Filter filter;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0);
  const double shrink = 1.0 / stretch;
  const auto places = windows(in, out, scale, Filter::kReach * stretch, memory);

  kernels::Resampling axis{
      .taps = 0, .first = std::pmr::vector<int32_t>(&memory), .weights = std::pmr::vector<int32_t>(&memory)};
  for (const auto& place : places) axis.taps = std::max(axis.taps, place.end - place.first);
  axis.weights.resize(static_cast<size_t>(out * axis.taps));
  axis.first.reserve(places.size());
  std::pmr::vector<double> exact(static_cast<size_t>(axis.taps), &memory);
  int32_t* weights = axis.weights.data();
  for (const auto& place : places) {
    const auto count = static_cast<size_t>(place.end - place.first);
    double sum = 0.0;
    for (size_t i = 0; i < count; ++i) {
      exact[i] = filter((static_cast<double>(place.first + static_cast<int64_t>(i)) - place.centre + 0.5) * shrink);
      sum += exact[i];
    }
    // All places have as many taps; near the end some before the first that counts weigh nothing.
    const int64_t first = std::min(place.first, in - axis.taps);
    int32_t* counting = weights + (place.first - first);
    for (size_t i = 0; i < count; ++i) counting[i] = fixed_point(exact[i] / sum);
    axis.first.push_back(static_cast<int32_t>(first));
    weights += axis.taps;
  }
  return axis;
}

kernels::Resampling resampling(int64_t in, int64_t out, Interpolation interpolation, Memory& memory) {
  return interpolation == Interpolation::kBicubic ? resampling<Bicubic>(in, out, memory)
                                                  : resampling<Bilinear>(in, out, memory);
}

Image resize_width(const Image& image, int64_t width, Interpolation interpolation) {
  Image out = image.beside(width, image.height, image.channels);
  Memory& memory = *image.pixels.get_allocator().memory;
  kernels::resample_width(shape_of(image), image.pixels.data(), resampling(image.width, width, interpolation, memory),
                          out.pixels.data(), memory);
  return out;
}

Image resize_height(const Image& image, int64_t height, Interpolation interpolation) {
  Image out = image.beside(image.width, height, image.channels);
  Memory& memory = *image.pixels.get_allocator().memory;
  kernels::resample_height(shape_of(image), image.pixels.data(),
                           resampling(image.height, height, interpolation, memory), out.pixels.data(), memory);
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
