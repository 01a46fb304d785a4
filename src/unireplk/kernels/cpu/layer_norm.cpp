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
template <int64_t kPixels, class Number>
HWY_INLINE void find_moments(const Number* x, float eps, int64_t channels, float* mean, float* inverse) {
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

template <class Number>
void find_all_moments(const Number* x, float eps, int64_t pixels, int64_t channels, float* mean, float* inverse) {
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

template <class Number>
void normalise(const Number* x, const LayerNorm& norm, int64_t pixels, int64_t channels, float* y, float* mean,
               float* inverse) {
  find_all_moments(x, norm.eps, pixels, channels, mean, inverse);
  for (int64_t p = 0; p < pixels; ++p, x += channels, y += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec value = affine(norm, these, normalised(these.of(x), mean[p], inverse[p]));
      these.put(norm.then_gelu ? gelu(value) : value, y);
    }
  }
}

/// dx of one pixel, from the gradient behind the norm and the sums over the channels of gradient * weight and of that
/// times the normalised x.
template <class Number>
HWY_INLINE void put_gradient(const float* gradient, const Number* x, const float* weight, float mean, float inverse,
                             float sum, float product, int64_t channels, Number* dx) {
  const float share = 1 / static_cast<float>(channels);
  for (int64_t c = 0; c < channels; c += kLanes) {
    const Channels these(channels, c);
    const Vec normal = normalised(these.of(x), mean, inverse);
    const Vec inner = hn::Sub(hn::Mul(these.of(gradient), these.of(weight)), all(sum * share));
    these.put(hn::Mul(all(inverse), hn::NegMulAdd(normal, all(product * share), inner)), dx);
  }
}

/// \param row  for the gradient between norm and GELU.
template <class Number>
void find_gradient(const float* dy, const Number* x, const LayerNorm& norm, const float* mean, const float* inverse,
                   int64_t pixels, int64_t channels, Number* dx, float* dweight, float* dbias, float* row) {
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
        these.put(gradient, row);
      }
      const Vec of_weight = hn::Mul(gradient, normal);
      sum = hn::MulAdd(gradient, these.of(norm.weight), sum);
      product = hn::MulAdd(of_weight, these.of(norm.weight), product);
      these.add(of_weight, dweight);
      these.add(gradient, dbias);
    }
    if (!dx) continue;
    put_gradient(norm.then_gelu ? row : dy, x, norm.weight, mean[p], inverse[p], total(sum), total(product), channels,
                 dx);
    dx += channels;
  }
}

void normalise_piece(const MapValues& x, const LayerNorm& norm, int64_t pixels, int64_t channels, float* y, float* mean,
                     float* inverse) {
  with_number(x.element,
              [&](auto number) { normalise(as<decltype(number)>(x), norm, pixels, channels, y, mean, inverse); });
}

void gradient_piece(const float* dy, const MapValues& x, const LayerNorm& norm, const float* mean, const float* inverse,
                    int64_t pixels, int64_t channels, const MapMemory& dx, float* dweight, float* dbias, float* row) {
  with_number(x.element, [&](auto number) {
    using Number = decltype(number);
    find_gradient(dy, as<Number>(x), norm, mean, inverse, pixels, channels, as<Number>(dx), dweight, dbias, row);
  });
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

void layer_norm(const RowsShape& shape, const MapValues& x, const LayerNorm& norm, float* y, float* mean,
                float* inverse, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(normalise_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(pieces.of(x, i), norm, pieces.pixels(i), shape.channels, y + pieces.pixel(i) * shape.channels,
        mean + pieces.pixel(i), inverse + pieces.pixel(i));
  });
}

void layer_norm_backward(const RowsShape& shape, const float* dy, const MapValues& x, const LayerNorm& norm,
                         const float* mean, const float* inverse, const MapMemory& dx, float* dweight, float* dbias,
                         std::span<float> workspace, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(gradient_piece);
  const RowPieces pieces(shape);
  Arena arena(workspace.data());
  float* of_weight = arena.take(pieces.table_floats());
  float* of_bias = arena.take(pieces.table_floats());
  float* rows = arena.take(pieces.table_floats());
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    const int64_t at = pieces.at_piece(i);
    run(dy + pieces.pixel(i) * shape.channels, pieces.of(x, i), norm, mean + pieces.pixel(i), inverse + pieces.pixel(i),
        pieces.pixels(i), shape.channels, pieces.of(dx, i), of_weight + at, of_bias + at, rows + at);
  });
  pieces.add_up(of_weight, dweight, parallel);
  pieces.add_up(of_bias, dbias, parallel);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
