#include "unireplk/kernels/row_passes.h"

#include <algorithm>

#include "unireplk/kernels/cpu/row_pieces.h"
#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/row_passes.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

#include "unireplk/kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

void sum_piece(const float* a, int64_t pixels, int64_t channels, float* sums) {
  std::fill(sums, sums + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, a += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      these.add(these.of(a), sums);
    }
  }
}

void products_of_piece(const float* a, const float* b, const float* centre, int64_t pixels, int64_t channels,
                       float* sums, float* products) {
  std::fill(sums, sums + channels, 0.0F);
  std::fill(products, products + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, a += channels, b += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec value = these.of(a);
      const Vec other = centre ? hn::Sub(these.of(b), these.of(centre)) : these.of(b);
      these.add(value, sums);
      these.put(hn::MulAdd(value, other, these.of(products)), products);
    }
  }
}

/// The mean, and the sum of squares of what is left without it.
void moments_of_piece(const float* a, int64_t pixels, int64_t channels, float* mean, float* squares) {
  sum_piece(a, pixels, channels, mean);
  const Vec share = all(1.0F / static_cast<float>(pixels));
  for (int64_t c = 0; c < channels; c += kLanes) {
    const Channels these(channels, c);
    these.put(hn::Mul(these.of(mean), share), mean);
  }
  std::fill(squares, squares + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, a += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec rest = hn::Sub(these.of(a), these.of(mean));
      these.put(hn::MulAdd(rest, rest, these.of(squares)), squares);
    }
  }
}

void combine_piece(const RowTerms& terms, int64_t pixels, int64_t channels, float* to) {
  const float *a = terms.a, *b = terms.b;
  for (int64_t p = 0; p < pixels; ++p, a += channels, to += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      Vec sum = these.of(a);
      if (terms.factor) sum = hn::Mul(sum, these.of(terms.factor));
      if (terms.shift) sum = hn::Add(sum, these.of(terms.shift));
      if (b) sum = hn::MulAdd(hn::Sub(these.of(b), these.of(terms.centre)), these.of(terms.slope), sum);
      these.put(sum, to);
    }
    if (b) b += channels;
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {
namespace {

HWY_EXPORT(sum_piece);
HWY_EXPORT(products_of_piece);
HWY_EXPORT(moments_of_piece);
HWY_EXPORT(combine_piece);

/// Moments of some pixels.
struct Moments {
  double count = 0, mean = 0, squares = 0;

  void merge(const Moments& other) {
    const double delta = other.mean - mean, total = count + other.count;
    mean += delta * other.count / total;
    squares += other.squares + delta * delta * count * other.count / total;
    count = total;
  }
};

}  // namespace

void sum_rows(const RowsShape& shape, const float* a, const float* b, const float* centre, float* sums, float* products,
              std::span<float> workspace, const Parallel& parallel) {
  prepare_dispatch();
  const RowPieces pieces(shape);
  Arena arena(workspace.data());
  float* sum_of = arena.take(pieces.table_floats());
  float* product_of = b ? arena.take(pieces.table_floats()) : nullptr;
  const auto run_sums = HWY_DYNAMIC_DISPATCH(sum_piece);
  const auto run_products = HWY_DYNAMIC_DISPATCH(products_of_piece);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    const int64_t at = pieces.at(i), row = pieces.at_piece(i);
    if (!b) return run_sums(a + at, pieces.pixels(i), shape.channels, sum_of + row);
    run_products(a + at, b + at, centre, pieces.pixels(i), shape.channels, sum_of + row, product_of + row);
  });
  pieces.add_up_images(sum_of, sums, parallel);
  if (b) pieces.add_up_images(product_of, products, parallel);
}

void row_moments(const RowsShape& shape, const float* a, float* mean, float* variance, std::span<float> workspace,
                 const Parallel& parallel) {
  prepare_dispatch();
  const RowPieces pieces(shape);
  Arena arena(workspace.data());
  float* mean_of = arena.take(pieces.table_floats());
  float* squares_of = arena.take(pieces.table_floats());
  const auto run = HWY_DYNAMIC_DISPATCH(moments_of_piece);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(a + pieces.at(i), pieces.pixels(i), shape.channels, mean_of + pieces.at_piece(i),
        squares_of + pieces.at_piece(i));
  });
  parallel.run(ceil_divide(shape.channels, kMaxLanes), [&](int64_t task, int64_t) {
    const int64_t end = std::min((task + 1) * kMaxLanes, shape.channels);
    for (int64_t c = task * kMaxLanes; c < end; ++c) {
      Moments all;
      for (int64_t i = 0; i < pieces.count(); ++i) {
        const int64_t at = pieces.at_piece(i) + c;
        if (pieces.pixels(i) > 0) all.merge({static_cast<double>(pieces.pixels(i)), mean_of[at], squares_of[at]});
      }
      mean[c] = static_cast<float>(all.mean);
      variance[c] = static_cast<float>(all.squares / all.count);
    }
  });
}

void combine_rows(const RowsShape& shape, const RowTerms& terms, float* to, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(combine_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    const auto map = [&](const float* start) { return start ? start + pieces.at(i) : nullptr; };
    const auto table = [&](const float* start) { return start ? start + pieces.at_image(i) : nullptr; };
    const RowTerms here{.a = map(terms.a),
                        .factor = table(terms.factor),
                        .b = map(terms.b),
                        .centre = terms.centre,
                        .slope = table(terms.slope),
                        .shift = table(terms.shift)};
    run(here, pieces.pixels(i), shape.channels, to + pieces.at(i));
  });
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
