#include "unireplk/kernels/grn.h"

#include <algorithm>

#include "unireplk/kernels/cpu/layout.h"
#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/grn.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vec = hn::Vec<Floats>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(Floats()));
constexpr int64_t kVectors = 4;  // of channels summed side by side
constexpr int64_t kStrand = 32;  // pixels whose sums are made in one go: keeps float32 sums exact enough

HWY_INLINE Vec load(const float* from) { return hn::LoadU(Floats(), from); }
HWY_INLINE void store(Vec value, float* to) { hn::StoreU(value, Floats(), to); }

template <int64_t kCount, bool kWithSums>
void add_strand(const float* a, const float* b, int64_t pixels, int64_t stride, float* products, float* sums) {
  Vec product[kCount], sum[kCount];
  for (int64_t v = 0; v < kCount; ++v) product[v] = sum[v] = hn::Zero(Floats());
  for (int64_t p = 0; p < pixels; ++p, a += stride, b += stride) {
    for (int64_t v = 0; v < kCount; ++v) {
      const Vec value = load(a + v * kLanes);
      product[v] = hn::MulAdd(value, load(b + v * kLanes), product[v]);
      if constexpr (kWithSums) sum[v] = hn::Add(sum[v], value);
    }
  }
  for (int64_t v = 0; v < kCount; ++v) {
    store(hn::Add(load(products + v * kLanes), product[v]), products + v * kLanes);
    if constexpr (kWithSums) store(hn::Add(load(sums + v * kLanes), sum[v]), sums + v * kLanes);
  }
}

template <bool kWithSums>
void add_channels(const float* a, const float* b, int64_t pixels, int64_t stride, int64_t channels, float* products,
                  float* sums) {
  int64_t c = 0;
  const auto sums_at = [&](int64_t channel) { return kWithSums ? sums + channel : nullptr; };
  for (; c + kVectors * kLanes <= channels; c += kVectors * kLanes) {
    add_strand<kVectors, kWithSums>(a + c, b + c, pixels, stride, products + c, sums_at(c));
  }
  for (; c + kLanes <= channels; c += kLanes) {
    add_strand<1, kWithSums>(a + c, b + c, pixels, stride, products + c, sums_at(c));
  }
  for (; c < channels; ++c) {
    float product = 0, sum = 0;
    for (int64_t p = 0; p < pixels; ++p) {
      product += a[p * stride + c] * b[p * stride + c];
      sum += a[p * stride + c];
    }
    products[c] += product;
    if constexpr (kWithSums) sums[c] += sum;
  }
}

/// Some channels of one image.
void products_task(const float* a, const float* b, int64_t pixels, int64_t stride, int64_t channels, float* products,
                   float* sums) {
  std::fill(products, products + channels, 0.0F);
  if (sums) std::fill(sums, sums + channels, 0.0F);
  const auto add = sums ? add_channels<true> : add_channels<false>;
  for (int64_t p = 0; p < pixels; p += kStrand) {
    add(a + p * stride, b + p * stride, std::min(kStrand, pixels - p), stride, channels, products, sums);
  }
}

/// Some pixels of one image.
void combine_task(const float* a, const float* factor, const float* b, const float* slope, int64_t pixels,
                  int64_t channels, float* to) {
  for (int64_t p = 0; p < pixels; ++p, a += channels, b += channels, to += channels) {
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) {
      store(hn::MulAdd(load(a + c), load(factor + c), hn::Mul(load(b + c), load(slope + c))), to + c);
    }
    for (; c < channels; ++c) to[c] = a[c] * factor[c] + b[c] * slope[c];
  }
}

void scale_task(const float* a, const float* factor, const float* shift, int64_t pixels, int64_t channels, float* to) {
  for (int64_t p = 0; p < pixels; ++p, a += channels, to += channels) {
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) {
      const Vec start = shift ? load(shift + c) : hn::Zero(Floats());
      store(hn::MulAdd(load(a + c), load(factor + c), start), to + c);
    }
    for (; c < channels; ++c) to[c] = a[c] * factor[c] + (shift ? shift[c] : 0.0F);
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {
namespace {

HWY_EXPORT(products_task);
HWY_EXPORT(combine_task);
HWY_EXPORT(scale_task);

constexpr int64_t kTaskChannels = 256;
constexpr int64_t kTaskFloats = 1 << 14;

/// Call task(image, first pixel, count) for pieces of the map that fit into a first-level cache.
template <class Task>
void for_each_piece(const RowsShape& shape, const Parallel& parallel, const Task& task) {
  const int64_t pixels = std::max<int64_t>(1, kTaskFloats / std::max<int64_t>(shape.channels, 1));
  const int64_t pieces = ceil_divide(shape.pixels, pixels);
  parallel.run(shape.images * pieces, [&](int64_t i, int64_t) {
    const int64_t first = i % pieces * pixels;
    task(i / pieces, first, std::min(pixels, shape.pixels - first));
  });
}

}  // namespace

void channel_products(const RowsShape& shape, const float* a, const float* b, float* products, float* sums,
                      const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(products_task);
  const int64_t parts = ceil_divide(shape.channels, kTaskChannels);
  parallel.run(shape.images * parts, [&](int64_t i, int64_t) {
    const int64_t image = i / parts, channel = i % parts * kTaskChannels;
    const int64_t at = image * shape.pixels * shape.channels + channel, result = image * shape.channels + channel;
    run(a + at, b + at, shape.pixels, shape.channels, std::min(kTaskChannels, shape.channels - channel),
        products + result, sums ? sums + result : nullptr);
  });
}

void combine_channels(const RowsShape& shape, const float* a, const float* factor, const float* b, const float* slope,
                      float* to, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(combine_task);
  for_each_piece(shape, parallel, [&](int64_t image, int64_t first, int64_t count) {
    const int64_t at = (image * shape.pixels + first) * shape.channels, row = image * shape.channels;
    run(a + at, factor + row, b + at, slope + row, count, shape.channels, to + at);
  });
}

void scale_channels(const RowsShape& shape, const float* a, const float* factor, const float* shift, float* to,
                    const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(scale_task);
  for_each_piece(shape, parallel, [&](int64_t image, int64_t first, int64_t count) {
    const int64_t at = (image * shape.pixels + first) * shape.channels;
    run(a + at, factor + image * shape.channels, shift, count, shape.channels, to + at);
  });
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
