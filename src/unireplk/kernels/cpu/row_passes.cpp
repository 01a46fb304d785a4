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

template <class Number>
void sum(const Number* a, int64_t pixels, int64_t channels, float* sums) {
  std::fill(sums, sums + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, a += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      these.add(these.of(a), sums);
    }
  }
}

template <class A, class B>
void sum_products(const A* a, const B* b, const float* centre, int64_t pixels, int64_t channels, float* sums,
                  float* products) {
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
template <class Number>
void find_moments(const Number* a, int64_t pixels, int64_t channels, float* mean, float* squares) {
  sum(a, pixels, channels, mean);
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

template <class A, class B, class To>
void combine(const RowTerms& terms, int64_t pixels, int64_t channels, To* to) {
  const A* a = as<A>(terms.a);
  const B* b = as<B>(terms.b);
  for (int64_t p = 0; p < pixels; ++p, a += channels, to += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      Vec sum = these.of(a);
      if (terms.factor) sum = hn::Mul(sum, these.of(terms.factor));
      if (terms.shift) sum = hn::Add(sum, these.of(terms.shift));
      if (b) {
        const Vec other = terms.centre ? hn::Sub(these.of(b), these.of(terms.centre)) : these.of(b);
        sum = terms.slope ? hn::MulAdd(other, these.of(terms.slope), sum) : hn::Add(sum, other);
      }
      these.put(sum, to);
    }
    if (b) b += channels;
  }
}

void sum_piece(const MapValues& a, int64_t pixels, int64_t channels, float* sums) {
  with_number(a.element, [&](auto number) { sum(as<decltype(number)>(a), pixels, channels, sums); });
}

/// \param a  of b's type or float32.
void products_of_piece(const MapValues& a, const MapValues& b, const float* centre, int64_t pixels, int64_t channels,
                       float* sums, float* products) {
  with_number(b.element, [&](auto number) {
    using B = decltype(number);
    const B* of_b = as<B>(b);
    if (a.element == b.element) return sum_products(as<B>(a), of_b, centre, pixels, channels, sums, products);
    sum_products(as<float>(a), of_b, centre, pixels, channels, sums, products);
  });
}

void moments_of_piece(const MapValues& a, int64_t pixels, int64_t channels, float* mean, float* squares) {
  with_number(a.element, [&](auto number) { find_moments(as<decltype(number)>(a), pixels, channels, mean, squares); });
}

void combine_piece(const RowTerms& terms, int64_t pixels, int64_t channels, const MapMemory& to) {
  with_number(to.element, [&](auto number) {
    using To = decltype(number);
    const bool has_wide_a = terms.a.element == Element::kFloat, has_wide_b = terms.b.element == Element::kFloat;
    if (!has_wide_a) return combine<BFloat16, BFloat16>(terms, pixels, channels, as<To>(to));
    if (!has_wide_b) return combine<float, BFloat16>(terms, pixels, channels, as<To>(to));
    combine<float, float>(terms, pixels, channels, as<To>(to));
  });
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

void sum_rows(const RowsShape& shape, const MapValues& a, const MapValues& b, const float* centre, float* sums,
              float* products, std::span<float> workspace, const Parallel& parallel) {
  prepare_dispatch();
  const RowPieces pieces(shape);
  Arena arena(workspace.data());
  float* sum_of = arena.take(pieces.table_floats());
  float* product_of = products ? arena.take(pieces.table_floats()) : nullptr;
  const auto run_sums = HWY_DYNAMIC_DISPATCH(sum_piece);
  const auto run_products = HWY_DYNAMIC_DISPATCH(products_of_piece);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    const MapValues of_a = pieces.of(a, i);
    const int64_t row = pieces.at_piece(i);
    if (!products) return run_sums(of_a, pieces.pixels(i), shape.channels, sum_of + row);
    run_products(of_a, pieces.of(b, i), centre, pieces.pixels(i), shape.channels, sum_of + row, product_of + row);
  });
  pieces.add_up_images(sum_of, sums, parallel);
  if (products) pieces.add_up_images(product_of, products, parallel);
}

void row_moments(const RowsShape& shape, const MapValues& a, float* mean, float* variance, std::span<float> workspace,
                 const Parallel& parallel) {
  prepare_dispatch();
  const RowPieces pieces(shape);
  Arena arena(workspace.data());
  float* mean_of = arena.take(pieces.table_floats());
  float* squares_of = arena.take(pieces.table_floats());
  const auto run = HWY_DYNAMIC_DISPATCH(moments_of_piece);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(pieces.of(a, i), pieces.pixels(i), shape.channels, mean_of + pieces.at_piece(i),
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

void combine_rows(const RowsShape& shape, const RowTerms& terms, const MapMemory& to, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(combine_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    const auto table = [&](const float* start) { return start ? start + pieces.at_image(i) : nullptr; };
    const RowTerms here{.a = pieces.of(terms.a, i),
                        .factor = table(terms.factor),
                        .b = pieces.of(terms.b, i),
                        .centre = terms.centre,
                        .slope = table(terms.slope),
                        .shift = table(terms.shift)};
    run(here, pieces.pixels(i), shape.channels, pieces.of(to, i));
  });
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
