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

#include "unireplk/kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

HWY_INLINE float total(Vec value) { return hn::GetLane(hn::SumOfLanes(Floats(), value)); }

HWY_INLINE float mean_of(const float* x, int64_t channels) {
  Vec sum = all(0);
  for (int64_t c = 0; c < channels; c += kLanes) sum = hn::Add(sum, Channels(channels, c).of(x));
  return total(sum) / static_cast<float>(channels);
}

HWY_INLINE float variance_of(const float* x, float mean, int64_t channels) {
  Vec sum = all(0);
  for (int64_t c = 0; c < channels; c += kLanes) {
    const Channels these(channels, c);
    const Vec rest = these.alone(hn::Sub(these.of(x), all(mean)));
    sum = hn::MulAdd(rest, rest, sum);
  }
  return total(sum) / static_cast<float>(channels);
}

void normalise_piece(const float* x, const float* weight, const float* bias, float eps, int64_t pixels,
                     int64_t channels, float* y, float* mean, float* inverse) {
  for (int64_t p = 0; p < pixels; ++p, x += channels, y += channels) {
    mean[p] = mean_of(x, channels);
    inverse[p] = 1 / std::sqrt(variance_of(x, mean[p], channels) + eps);
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec normal = hn::Mul(hn::Sub(these.of(x), all(mean[p])), all(inverse[p]));
      these.put(hn::MulAdd(normal, these.of(weight), these.of(bias)), y);
    }
  }
}

/// dx of one pixel, from the sums over its channels of dy * weight and of that times the normalised x.
HWY_INLINE void put_gradient(const float* dy, const float* x, const float* weight, float mean, float inverse, float sum,
                             float product, int64_t channels, float* dx) {
  const float share = 1 / static_cast<float>(channels);
  for (int64_t c = 0; c < channels; c += kLanes) {
    const Channels these(channels, c);
    const Vec normal = hn::Mul(hn::Sub(these.of(x), all(mean)), all(inverse));
    const Vec inner = hn::Sub(hn::Mul(these.of(dy), these.of(weight)), all(sum * share));
    these.put(hn::Mul(all(inverse), hn::NegMulAdd(normal, all(product * share), inner)), dx);
  }
}

void gradient_piece(const float* dy, const float* x, const float* weight, const float* mean, const float* inverse,
                    int64_t pixels, int64_t channels, float* dx, float* dweight, float* dbias) {
  std::fill(dweight, dweight + channels, 0.0F);
  std::fill(dbias, dbias + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, dy += channels, x += channels) {
    Vec sum = all(0), product = all(0);
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec gradient = these.of(dy);
      const Vec of_weight = hn::Mul(gradient, hn::Mul(hn::Sub(these.of(x), all(mean[p])), all(inverse[p])));
      sum = hn::MulAdd(gradient, these.of(weight), sum);
      product = hn::MulAdd(of_weight, these.of(weight), product);
      these.add(of_weight, dweight);
      these.add(gradient, dbias);
    }
    if (!dx) continue;
    put_gradient(dy, x, weight, mean[p], inverse[p], total(sum), total(product), channels, dx);
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

void layer_norm(const RowsShape& shape, const float* x, const float* weight, const float* bias, float eps, float* y,
                float* mean, float* inverse, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(normalise_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(x + pieces.at(i), weight, bias, eps, pieces.pixels(i), shape.channels, y + pieces.at(i), mean + pieces.pixel(i),
        inverse + pieces.pixel(i));
  });
}

void layer_norm_backward(const RowsShape& shape, const float* dy, const float* x, const float* weight,
                         const float* mean, const float* inverse, float* dx, float* dweight, float* dbias,
                         std::span<float> workspace, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(gradient_piece);
  const RowPieces pieces(shape);
  Arena arena(workspace.data());
  float* of_weight = arena.take(pieces.table_floats());
  float* of_bias = arena.take(pieces.table_floats());
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(dy + pieces.at(i), x + pieces.at(i), weight, mean + pieces.pixel(i), inverse + pieces.pixel(i),
        pieces.pixels(i), shape.channels, dx ? dx + pieces.at(i) : nullptr, of_weight + pieces.at_piece(i),
        of_bias + pieces.at_piece(i));
  });
  pieces.add_up(of_weight, dweight, parallel);
  pieces.add_up(of_bias, dbias, parallel);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
