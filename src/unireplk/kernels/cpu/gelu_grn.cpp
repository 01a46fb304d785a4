#include "unireplk/kernels/gelu_grn.h"

#include <algorithm>

#include "unireplk/kernels/cpu/row_pieces.h"
#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/gelu_grn.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

#include "unireplk/kernels/cpu/gelu-inl.h"
#include "unireplk/kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

template <class Number>
void squares_of(const Number* z, const float* bias, int64_t pixels, int64_t channels, float* squares) {
  std::fill(squares, squares + channels, 0.0F);
  for (int64_t p = 0; p < pixels; ++p, z += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec h = gelu(hn::Add(these.of(z), these.of(bias)));
      these.put(hn::MulAdd(h, h, these.of(squares)), squares);
    }
  }
}

template <class Number>
void scale(const Number* z, const float* bias, const float* factor, const float* shift, int64_t pixels,
           int64_t channels, Number* to) {
  for (int64_t p = 0; p < pixels; ++p, z += channels, to += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Channels these(channels, c);
      const Vec start = shift ? these.of(shift) : hn::Zero(Floats());
      these.put(hn::MulAdd(gelu(hn::Add(these.of(z), these.of(bias))), these.of(factor), start), to);
    }
  }
}

template <class Number>
void products_of(const Number* dy, const Number* z, const float* bias, int64_t pixels, int64_t channels,
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

/// \param sums  of dz before it is rounded.
template <class Number>
void combine(const Number* dy, const float* factor, const Number* z, const float* bias, const float* slope,
             int64_t pixels, int64_t channels, Number* dz, float* sums) {
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

void squares_of_piece(const MapValues& z, const float* bias, int64_t pixels, int64_t channels, float* squares) {
  with_number(z.element, [&](auto number) {
    using Number = decltype(number);
    squares_of(as<Number>(z), bias, pixels, channels, squares);
  });
}

void scale_piece(const MapValues& z, const float* bias, const float* factor, const float* shift, int64_t pixels,
                 int64_t channels, const MapMemory& to) {
  with_number(z.element, [&](auto number) {
    using Number = decltype(number);
    scale(as<Number>(z), bias, factor, shift, pixels, channels, as<Number>(to));
  });
}

void products_of_piece(const MapValues& dy, const MapValues& z, const float* bias, int64_t pixels, int64_t channels,
                       float* products, float* sums) {
  with_number(z.element, [&](auto number) {
    using Number = decltype(number);
    products_of(as<Number>(dy), as<Number>(z), bias, pixels, channels, products, sums);
  });
}

void combine_piece(const MapValues& dy, const float* factor, const MapValues& z, const float* bias, const float* slope,
                   int64_t pixels, int64_t channels, const MapMemory& dz, float* sums) {
  with_number(z.element, [&](auto number) {
    using Number = decltype(number);
    combine(as<Number>(dy), factor, as<Number>(z), bias, slope, pixels, channels, as<Number>(dz), sums);
  });
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

void gelu_squares(const RowsShape& shape, const MapValues& z, const float* bias, float* squares,
                  std::span<float> workspace, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(squares_of_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(pieces.of(z, i), bias, pieces.pixels(i), shape.channels, workspace.data() + pieces.at_piece(i));
  });
  pieces.add_up_images(workspace.data(), squares, parallel);
}

void gelu_scale(const RowsShape& shape, const MapValues& z, const float* bias, const float* factor, const float* shift,
                const MapMemory& to, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(scale_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(pieces.of(z, i), bias, factor + pieces.at_image(i), shift, pieces.pixels(i), shape.channels, pieces.of(to, i));
  });
}

void gelu_products(const RowsShape& shape, const MapValues& dy, const MapValues& z, const float* bias, float* products,
                   float* sums, std::span<float> workspace, const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(products_of_piece);
  const RowPieces pieces(shape);
  Arena arena(workspace.data());
  float* product_of = arena.take(pieces.table_floats());
  float* sum_of = arena.take(pieces.table_floats());
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(pieces.of(dy, i), pieces.of(z, i), bias, pieces.pixels(i), shape.channels, product_of + pieces.at_piece(i),
        sum_of + pieces.at_piece(i));
  });
  pieces.add_up_images(product_of, products, parallel);
  pieces.add_up(sum_of, sums, parallel);
}

void gelu_combine(const RowsShape& shape, const MapValues& dy, const float* factor, const MapValues& z,
                  const float* bias, const float* slope, const MapMemory& dz, float* dbias, std::span<float> workspace,
                  const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(combine_piece);
  const RowPieces pieces(shape);
  parallel.run(pieces.count(), [&](int64_t i, int64_t) {
    run(pieces.of(dy, i), factor + pieces.at_image(i), pieces.of(z, i), bias, slope + pieces.at_image(i),
        pieces.pixels(i), shape.channels, pieces.of(dz, i), workspace.data() + pieces.at_piece(i));
  });
  pieces.add_up(workspace.data(), dbias, parallel);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
