#include "unireplk/kernels/cpu/scalar.h"

#include <algorithm>

namespace unireplk::kernels::scalar {
namespace {

/// Call visit(p, q, tap) for every pixel p of an image, and every tap whose pixel q = p + tap lies in the map.
template <class Visit>
void for_each_pair(const MapShape& map, const KernelShape& kernel, Visit visit) {
  for (int64_t y = 0; y < map.height; ++y) {
    for (int64_t x = 0; x < map.width; ++x) {
      for (int64_t tap = 0; tap < kernel.taps(); ++tap) {
        const int64_t to_y = y + (tap / kernel.size - kernel.size / 2) * kernel.dilation;
        const int64_t to_x = x + (tap % kernel.size - kernel.size / 2) * kernel.dilation;
        if (to_y < 0 || to_y >= map.height || to_x < 0 || to_x >= map.width) continue;
        visit(y * map.width + x, to_y * map.width + to_x, tap);
      }
    }
  }
}

/// Call visit(first, channel) for every image and channel; `first` is the index of its first pixel.
template <class Visit>
void for_each_plane(const MapShape& map, Visit visit) {
  for (int64_t image = 0; image < map.images; ++image) {
    for (int64_t channel = 0; channel < map.channels; ++channel) {
      visit(image * map.height * map.width * map.channels + channel, channel);
    }
  }
}

}  // namespace

template <class Number>
void depthwise_forward(const MapShape& map, const KernelShape& kernel, const Number* x, const Number* weight,
                       const Number* bias, Number* y) {
  for_each_plane(map, [&](int64_t first, int64_t channel) {
    const auto at = [&](int64_t pixel) { return first + pixel * map.channels; };
    for (int64_t p = 0; p < map.height * map.width; ++p) y[at(p)] = bias ? bias[channel] : Number(0);
    for_each_pair(map, kernel, [&](int64_t p, int64_t q, int64_t tap) {
      y[at(p)] += weight[channel * kernel.taps() + tap] * x[at(q)];
    });
  });
}

template <class Number>
void depthwise_backward_data(const MapShape& map, const KernelShape& kernel, const Number* dy, const Number* weight,
                             Number* dx) {
  for_each_plane(map, [&](int64_t first, int64_t channel) {
    const auto at = [&](int64_t pixel) { return first + pixel * map.channels; };
    for (int64_t p = 0; p < map.height * map.width; ++p) dx[at(p)] = 0;
    for_each_pair(map, kernel, [&](int64_t p, int64_t q, int64_t tap) {
      dx[at(q)] += weight[channel * kernel.taps() + tap] * dy[at(p)];
    });
  });
}

template <class Number>
void depthwise_backward_weights(const MapShape& map, const KernelShape& kernel, const Number* x, const Number* dy,
                                Number* dweight, Number* dbias) {
  std::fill(dweight, dweight + map.channels * kernel.taps(), Number(0));
  if (dbias) std::fill(dbias, dbias + map.channels, Number(0));
  for_each_plane(map, [&](int64_t first, int64_t channel) {
    const auto at = [&](int64_t pixel) { return first + pixel * map.channels; };
    for_each_pair(map, kernel, [&](int64_t p, int64_t q, int64_t tap) {
      dweight[channel * kernel.taps() + tap] += dy[at(p)] * x[at(q)];
    });
    for (int64_t p = 0; dbias && p < map.height * map.width; ++p) dbias[channel] += dy[at(p)];
  });
}

template void depthwise_forward(const MapShape&, const KernelShape&, const float*, const float*, const float*, float*);
template void depthwise_forward(const MapShape&, const KernelShape&, const double*, const double*, const double*,
                                double*);
template void depthwise_backward_data(const MapShape&, const KernelShape&, const float*, const float*, float*);
template void depthwise_backward_data(const MapShape&, const KernelShape&, const double*, const double*, double*);
template void depthwise_backward_weights(const MapShape&, const KernelShape&, const float*, const float*, float*,
                                         float*);
template void depthwise_backward_weights(const MapShape&, const KernelShape&, const double*, const double*, double*,
                                         double*);

}  // namespace unireplk::kernels::scalar
