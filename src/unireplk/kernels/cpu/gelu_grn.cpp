#include "unireplk/kernels/gelu_grn.h"

#include <algorithm>

#include "unireplk/kernels/cpu/row_pieces.h"
#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/gelu_grn.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

#include "unireplk/kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

/// The standard normal distribution at x.
struct Normal {
  Vec below;    ///< what lies below x
  Vec density;  ///< at x
};

/// 1 / x for moderate x; division takes as long as all else here. The estimate has 11 bits, or more.
HWY_INLINE Vec reciprocal(Vec x) {
  const Vec estimate = hn::ApproximateReciprocal(x);
  return hn::MulAdd(estimate, hn::NegMulAdd(x, estimate, all(1)), estimate);
}

constexpr float kFar = 13;  // exp(-x^2 / 2) is near the end of the normal numbers

/// exp(-size^2 / 2), as a power of two, for a size up to kFar.
HWY_INLINE Vec bell_at(Vec size) {
  constexpr float kHalfLog2OfE = 0.72134752F;
  constexpr float kPowers[] = {1.00000012F, 0.693146944F, 0.240221202F, 0.0555071346F, 0.00967554096F, 0.00132764690F};
  const hn::RebindToSigned<Floats> integers;
  const Vec exponent = hn::Mul(hn::Mul(size, all(-kHalfLog2OfE)), size);
  const auto whole = hn::NearestInt(exponent);
  const Vec rest = hn::Sub(exponent, hn::ConvertTo(Floats(), whole));
  Vec power = all(kPowers[5]);  // 2^rest, own fit on [-1/2, 1/2] for least relative error, which is 7.5e-8
  for (int i = 4; i >= 0; --i) power = hn::MulAdd(power, rest, all(kPowers[i]));
  const auto scaled = hn::Add(hn::BitCast(integers, power), hn::ShiftLeft<23>(whole));
  return hn::BitCast(Floats(), scaled);
}

/// The tail beyond |x| is exp(-x^2 / 2) times a smooth function, here a polynomial of 1 / (1 + k |x|) without constant
/// term. Own fit for least relative error on [0, 14], which is 5.4e-8.
HWY_INLINE Normal normal_at(Vec x) {
  constexpr float kScale = 0.28F;
  constexpr float kPolynomial[] = {0.111687265F,  0.111994788F,  0.100930758F,   0.0920768231F, 0.0532637648F,
                                   0.0208404064F, 0.0697798952F, -0.0833648667F, 0.0227911975F};
  constexpr float kRootOfTwoPi = 2.50662827F;
  const Vec size = hn::Min(hn::Abs(x), all(kFar));
  const Vec t = reciprocal(hn::MulAdd(all(kScale), size, all(1)));
  Vec ratio = all(kPolynomial[8]);
  for (int i = 7; i >= 0; --i) ratio = hn::MulAdd(ratio, t, all(kPolynomial[i]));
  const Vec bell = hn::IfThenElseZero(hn::Lt(size, all(kFar)), bell_at(size));
  const Vec tail = hn::Mul(hn::Mul(ratio, t), bell);
  return {.below = hn::IfThenElse(hn::Lt(x, hn::Zero(Floats())), tail, hn::Sub(all(1), tail)),
          .density = hn::Mul(bell, all(1 / kRootOfTwoPi))};
}

HWY_INLINE Vec gelu(Vec x) { return hn::Mul(x, normal_at(x).below); }

void squares_of_piece(const float* z, const float* bias, int64_t pixels, int64_t channels, float* squares) {
  std::fill(squares, squares + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, z += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec h = gelu(hn::Add(these.of(z), these.of(bias)));
      these.put(hn::MulAdd(h, h, these.of(squares)), squares);
    }
  }
}

void scale_piece(const float* z, const float* bias, const float* factor, const float* shift, int64_t pixels,
                 int64_t channels, float* to) {
  for (int64_t p = 0; p < pixels; ++p, z += channels, to += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec start = shift ? these.of(shift) : hn::Zero(Floats());
      these.put(hn::MulAdd(gelu(hn::Add(these.of(z), these.of(bias))), these.of(factor), start), to);
    }
  }
}

void products_of_piece(const float* dy, const float* z, const float* bias, int64_t pixels, int64_t channels,
                       float* products, float* sums) {
  std::fill(products, products + channels, 0.0F);
  std::fill(sums, sums + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, dy += channels, z += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec gradient = these.of(dy);
      const Vec h = gelu(hn::Add(these.of(z), these.of(bias)));
      these.put(hn::MulAdd(gradient, h, these.of(products)), products);
      these.add(gradient, sums);
    }
  }
}

void combine_piece(const float* dy, const float* factor, const float* z, const float* bias, const float* slope,
                   int64_t pixels, int64_t channels, float* dz, float* sums) {
  std::fill(sums, sums + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, dy += channels, z += channels, dz += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec x = hn::Add(these.of(z), these.of(bias));
      const Normal normal = normal_at(x);
      const Vec dh = hn::MulAdd(these.of(dy), these.of(factor), hn::Mul(hn::Mul(x, normal.below), these.of(slope)));
      const Vec dx = hn::Mul(dh, hn::MulAdd(x, normal.density, normal.below));
      these.put(dx, dz);
      these.add(dx, sums);
    }
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {
namespace {

HWY_EXPORT(squares_of_piece);
HWY_EXPORT(scale_piece);
HWY_EXPORT(products_of_piece);
HWY_EXPORT(combine_piece);

}  // namespace

void gelu_squares(const RowsShape& shape, const float* z, const float* bias, float* squares, std::span<float> workspace,
                  const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(squares_of_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(z + pieces.at(i), bias, pieces.pixels(i), shape.channels, workspace.data() + pieces.at_piece(i));
  });
  pieces.add_up_images(workspace.data(), squares, parallel);
}

void gelu_scale(const RowsShape& shape, const float* z, const float* bias, const float* factor, const float* shift,
                float* to, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(scale_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(z + pieces.at(i), bias, factor + pieces.at_image(i), shift, pieces.pixels(i), shape.channels,
        to + pieces.at(i));
  });
}

void gelu_products(const RowsShape& shape, const float* dy, const float* z, const float* bias, float* products,
                   float* sums, std::span<float> workspace, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(products_of_piece);
  const RowPieces pieces(shape);
  Arena arena(workspace.data());
  float* product_of = arena.take(pieces.table_floats());
  float* sum_of = arena.take(pieces.table_floats());
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(dy + pieces.at(i), z + pieces.at(i), bias, pieces.pixels(i), shape.channels, product_of + pieces.at_piece(i),
        sum_of + pieces.at_piece(i));
  });
  pieces.add_up_images(product_of, products, parallel);
  pieces.add_up(sum_of, sums, parallel);
}

void gelu_combine(const RowsShape& shape, const float* dy, const float* factor, const float* z, const float* bias,
                  const float* slope, float* dz, float* dbias, std::span<float> workspace, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(combine_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(dy + pieces.at(i), factor + pieces.at_image(i), z + pieces.at(i), bias, slope + pieces.at_image(i),
        pieces.pixels(i), shape.channels, dz + pieces.at(i), workspace.data() + pieces.at_piece(i));
  });
  pieces.add_up(workspace.data(), dbias, parallel);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
