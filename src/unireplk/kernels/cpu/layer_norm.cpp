#include "unireplk/kernels/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "unireplk/kernels/cpu/row_pieces.h"
#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/layer_norm.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

#include "unireplk/kernels/cpu/gelu-inl.h"
#include "unireplk/kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

HWY_INLINE float total(Vec value) { return hn::GetLane(hn::SumOfLanes(Floats(), value)); }

constexpr int64_t kTogether = 4;  // pixels whose sums are made side by side: each waits for its own last addition

/// Mean and inverse deviation of the channels of some pixels that follow each other.
template <int64_t kPixels>
HWY_INLINE void find_moments(const float* x, float eps, int64_t channels, float* mean, float* inverse) {
  Vec sums[kPixels], squares[kPixels];
  for (auto& sum : sums) sum = zero();
  for (auto& square : squares) square = zero();
  for (int64_t c = 0; c < channels; c += kLanes) {
    const Channels these(channels, c);
    for (int64_t i = 0; i < kPixels; ++i) sums[i] = hn::Add(sums[i], these.of(x + i * channels));
  }
  const auto count = static_cast<float>(channels);
  for (int64_t i = 0; i < kPixels; ++i) mean[i] = total(sums[i]) / count;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const Channels these(channels, c);
    for (int64_t i = 0; i < kPixels; ++i) {
      const Vec rest = these.alone(hn::Sub(these.of(x + i * channels), all(mean[i])));
      squares[i] = hn::MulAdd(rest, rest, squares[i]);
    }
  }
  for (int64_t i = 0; i < kPixels; ++i) inverse[i] = 1 / std::sqrt(total(squares[i]) / count + eps);
}

void find_moments_of_piece(const float* x, float eps, int64_t pixels, int64_t channels, float* mean, float* inverse) {
  int64_t p = 0;
  for (; p + kTogether <= pixels; p += kTogether, x += kTogether * channels) {
    find_moments<kTogether>(x, eps, channels, mean + p, inverse + p);
  }
  for (; p < pixels; ++p, x += channels) find_moments<1>(x, eps, channels, mean + p, inverse + p);
}

HWY_INLINE Vec normalised(Vec x, float mean, float inverse) { return hn::Mul(hn::Sub(x, all(mean)), all(inverse)); }

HWY_INLINE Vec affine(const LayerNorm& norm, const Channels& these, Vec normal) {
  return hn::MulAdd(normal, these.of(norm.weight), these.of(norm.bias));
}

void normalise_piece(const float* x, const LayerNorm& norm, int64_t pixels, int64_t channels, float* y, float* mean,
                     float* inverse) {
  find_moments_of_piece(x, norm.eps, pixels, channels, mean, inverse);
  for (int64_t p = 0; p < pixels; ++p, x += channels, y += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec value = affine(norm, these, normalised(these.of(x), mean[p], inverse[p]));
      these.put(norm.then_gelu ? gelu(value) : value, y);
    }
  }
}

/// dx of one pixel, from the gradient behind the norm and the sums over the channels of gradient * weight and of that
/// times the normalised x. `gradient` may be `dx`.
HWY_INLINE void put_gradient(const float* gradient, const float* x, const float* weight, float mean, float inverse,
                             float sum, float product, int64_t channels, float* dx) {
  const float share = 1 / static_cast<float>(channels);
  for (int64_t c = 0; c < channels; c += kLanes) {
    const Channels these(channels, c);
    const Vec normal = normalised(these.of(x), mean, inverse);
    const Vec inner = hn::Sub(hn::Mul(these.of(gradient), these.of(weight)), all(sum * share));
    these.put(hn::Mul(all(inverse), hn::NegMulAdd(normal, all(product * share), inner)), dx);
  }
}

/// \param dx  also holds the gradient between norm and GELU on the way.
void gradient_piece(const float* dy, const float* x, const LayerNorm& norm, const float* mean, const float* inverse,
                    int64_t pixels, int64_t channels, float* dx, float* dweight, float* dbias) {
  std::fill(dweight, dweight + channels, 0.0F);
  std::fill(dbias, dbias + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, dy += channels, x += channels) {
    Vec sum = zero(), product = zero();
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec normal = normalised(these.of(x), mean[p], inverse[p]);
      Vec gradient = these.of(dy);
      if (norm.then_gelu) {
        gradient = hn::Mul(gradient, gelu_slope(affine(norm, these, normal)));
        if (dx) these.put(gradient, dx);
      }
      const Vec of_weight = hn::Mul(gradient, normal);
      sum = hn::MulAdd(gradient, these.of(norm.weight), sum);
      product = hn::MulAdd(of_weight, these.of(norm.weight), product);
      these.add(of_weight, dweight);
      these.add(gradient, dbias);
    }
    if (!dx) continue;
    put_gradient(norm.then_gelu ? dx : dy, x, norm.weight, mean[p], inverse[p], total(sum), total(product), channels,
                 dx);
    dx += channels;
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {
namespace {

HWY_EXPORT(normalise_piece);
HWY_EXPORT(gradient_piece);

}  // namespace

void layer_norm(const RowsShape& shape, const float* x, const LayerNorm& norm, float* y, float* mean, float* inverse,
                const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(normalise_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(x + pieces.at(i), norm, pieces.pixels(i), shape.channels, y + pieces.at(i), mean + pieces.pixel(i),
        inverse + pieces.pixel(i));
  });
}

void layer_norm_backward(const RowsShape& shape, const float* dy, const float* x, const LayerNorm& norm,
                         const float* mean, const float* inverse, float* dx, float* dweight, float* dbias,
                         std::span<float> workspace, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(gradient_piece);
  const RowPieces pieces(shape);
  Arena arena(workspace.data());
  float* of_weight = arena.take(pieces.table_floats());
  float* of_bias = arena.take(pieces.table_floats());
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(dy + pieces.at(i), x + pieces.at(i), norm, mean + pieces.pixel(i), inverse + pieces.pixel(i), pieces.pixels(i),
        shape.channels, dx ? dx + pieces.at(i) : nullptr, of_weight + pieces.at_piece(i), of_bias + pieces.at_piece(i));
  });
  pieces.add_up(of_weight, dweight, parallel);
  pieces.add_up(of_bias, dbias, parallel);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
