#include <cstddef>
#include <cstring>

#include "unireplk/kernels/cpu/pixel_targets.h"
#include "unireplk/kernels/cpu/scratch.h"
#include "unireplk/kernels/pixels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/affine.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kBeyond = 2;       ///< pixels of a Frame around the image: a place in it is seen by no others
constexpr int32_t kOutside = -1000;  ///< stands for the pixel of a place outside of the image

/// Lanes are pixels.
using Doubles = hn::ScalableTag<double>;
using Ints = hn::Rebind<int32_t, Doubles>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(Doubles()));

/// Room behind a row: loops go on to the end of a vector.
constexpr int64_t kBehind = 16;

/// Lanes are the channels of a pixel, in as many vectors as they take.
using Channels = hn::CappedTag<double, 4>;
constexpr int64_t kChannelLanes = static_cast<int64_t>(hn::MaxLanes(Channels()));

/// The cubic convolution with a = -1, every product and sum rounded as in Pillow. It is v2 where d is zero.
///   v2 + d ((-v1 + v3) + d ((2 (v1 - v2) + v3 - v4) + d (-v1 + v2 - v3 + v4)))
template <class D, class Vec>
HWY_INLINE Vec cubic(D tag, Vec v1, Vec v2, Vec v3, Vec v4, Vec d) {
  const Vec first = hn::Sub(v3, v1);
  const Vec second = hn::Sub(hn::Add(hn::Mul(hn::Set(tag, 2.0), hn::Sub(v1, v2)), v3), v4);
  const Vec third = hn::Add(hn::Sub(hn::Sub(v2, v1), v3), v4);
  return hn::Add(v2, hn::Mul(d, hn::Add(first, hn::Mul(d, hn::Add(second, hn::Mul(d, third))))));
}

/// The same of whole numbers in float: up to the products every value is a small whole number, so the order is free.
template <class D, class Vec>
HWY_INLINE auto cubic_of_bytes(D tag, Vec v1, Vec v2, Vec v3, Vec v4, hn::Vec<D> d) {
  const auto before = hn::Sub(v1, v2), sum = hn::Add(before, hn::Sub(v3, v4));
  const auto first = hn::PromoteTo(tag, hn::Sub(v3, v1));
  const auto second = hn::PromoteTo(tag, hn::Add(before, sum));
  const auto third = hn::PromoteTo(tag, sum);  // negative
  return hn::Add(hn::PromoteTo(tag, v2), hn::Mul(d, hn::Add(first, hn::Mul(d, hn::Sub(second, hn::Mul(d, third))))));
}

/// Of four numbers that lie `step` floats apart, in every lane.
template <class D>
HWY_INLINE auto cubic_from(D tag, const float* from, int64_t step, hn::Vec<D> d) {
  const hn::Rebind<float, D> floats;
  return cubic_of_bytes(tag, hn::LoadU(floats, from), hn::LoadU(floats, from + step),
                        hn::LoadU(floats, from + 2 * step), hn::LoadU(floats, from + 3 * step), d);
}

template <class Vec>
HWY_INLINE Vec between(Vec a, Vec b, Vec d) {
  return hn::Add(a, hn::Mul(hn::Sub(b, a), d));
}

/// To bytes: 0 to 255, truncated.
template <class D, class Vec>
HWY_INLINE void store_bytes(D tag, Vec value, uint8_t* to) {
  const hn::Rebind<int32_t, D> ints;
  const hn::Rebind<uint8_t, D> bytes;
  const Vec clipped = hn::Min(hn::Max(value, hn::Zero(tag)), hn::Set(tag, 255.0));
  hn::StoreU(hn::DemoteTo(bytes, hn::DemoteTo(ints, clipped)), bytes, to);
}

/// Where the places of a row lie on one axis: the pixel before each, or kOutside, and how far behind that one it is, in
/// [0, 1). Place x is ((slope (x + 0.5)) + start) + offset.
void find_positions(double slope, double start, double offset, int64_t length, int64_t count, int32_t* pixels,
                    double* fractions) {
  const Doubles tag;
  for (int64_t x = 0; x < count; x += kLanes) {
    const auto middle = hn::Add(hn::Iota(tag, static_cast<double>(x)), hn::Set(tag, 0.5));
    const auto moved = hn::Add(hn::Mul(hn::Set(tag, slope), middle), hn::Set(tag, start));
    const auto place = hn::Add(moved, hn::Set(tag, offset));
    const auto before = hn::Sub(place, hn::Set(tag, 0.5));
    const auto pixel = hn::Floor(before);
    const auto is_inside =
        hn::And(hn::Ge(place, hn::Zero(tag)), hn::Lt(place, hn::Set(tag, static_cast<double>(length))));
    const auto seen = hn::IfThenElse(is_inside, pixel, hn::Set(tag, static_cast<double>(kOutside)));
    hn::StoreU(hn::DemoteTo(Ints(), seen), Ints(), pixels + x);
    hn::StoreU(hn::Sub(before, pixel), tag, fractions + x);
  }
}

/// The image in float, kBeyond pixels wider on each side, with the outermost pixels repeated there.
struct Frame {
  Frame(const PixelShape& shape, int64_t planes_of, int64_t spacing_of)
      : planes(planes_of),
        spacing(spacing_of),
        row((shape.width + 2 * kBeyond) * spacing_of + kBehind),
        plane((shape.height + 2 * kBeyond) * row) {}

  int64_t floats() const { return planes * plane; }

  const float* at(const float* frame, int64_t x, int64_t y) const {
    return frame + (y + kBeyond) * row + (x + kBeyond) * spacing;
  }

  int64_t planes;   ///< one for each channel, or one with all of them
  int64_t spacing;  ///< floats from a pixel to the next: one, or kSpacing in the one plane
  int64_t row;      ///< floats
  int64_t plane;
};

constexpr int64_t kSpacing = 4;  ///< red, green, blue and nothing

/// One row of pixels to floats: each channel to its plane, or all beside each other with what is left of the spacing.
HWY_INLINE void fill_inside(const Frame& frame, int64_t channels, const uint8_t* from, int64_t width, float* to) {
  const int64_t next_channel = frame.planes == 1 ? 1 : frame.plane;
  int64_t x = 0;
  if (channels == 3) {
    const hn::ScalableTag<float> floats;
    const hn::Rebind<int32_t, decltype(floats)> ints;
    const hn::Rebind<uint8_t, decltype(floats)> bytes;
    const auto lanes = static_cast<int64_t>(hn::Lanes(floats));
    for (; x + lanes <= width; x += lanes) {
      hn::Vec<decltype(bytes)> r, g, b;
      hn::LoadInterleaved3(bytes, from + x * 3, r, g, b);
      const auto red = hn::ConvertTo(floats, hn::PromoteTo(ints, r));
      const auto green = hn::ConvertTo(floats, hn::PromoteTo(ints, g));
      const auto blue = hn::ConvertTo(floats, hn::PromoteTo(ints, b));
      if (frame.planes == 1) {
        hn::StoreInterleaved4(red, green, blue, hn::Zero(floats), floats, to + x * kSpacing);
      } else {
        hn::StoreU(red, floats, to + x);
        hn::StoreU(green, floats, to + next_channel + x);
        hn::StoreU(blue, floats, to + 2 * next_channel + x);
      }
    }
  }
  for (; x < width; ++x) {
    for (int64_t c = 0; c < channels; ++c) {
      to[x * frame.spacing + c * next_channel] = static_cast<float>(from[x * channels + c]);
    }
  }
}

/// Repeat the outermost pixels of a plane whose inside is filled.
HWY_INLINE void fill_beyond(const Frame& frame, const PixelShape& shape, float* plane) {
  const size_t pixel = sizeof(float) * static_cast<size_t>(frame.spacing);
  float* first_row = plane + kBeyond * frame.row;
  float* last_row = first_row + (shape.height - 1) * frame.row;
  for (float* row = first_row; row <= last_row; row += frame.row) {
    float* first = row + kBeyond * frame.spacing;
    float* last = first + (shape.width - 1) * frame.spacing;
    for (int64_t i = 1; i <= kBeyond; ++i) {
      std::memcpy(first - i * frame.spacing, first, pixel);
      std::memcpy(last + i * frame.spacing, last, pixel);
    }
  }
  const size_t bytes = sizeof(float) * static_cast<size_t>(frame.row);
  for (int64_t i = 1; i <= kBeyond; ++i) {
    std::memcpy(first_row - i * frame.row, first_row, bytes);
    std::memcpy(last_row + i * frame.row, last_row, bytes);
  }
}

void fill_frame(const Frame& frame, const PixelShape& shape, const uint8_t* from, float* to) {
  float* inside = to + kBeyond * (frame.row + frame.spacing);
  for (int64_t y = 0; y < shape.height; ++y) {
    fill_inside(frame, shape.channels, from + y * shape.row_bytes(), shape.width, inside + y * frame.row);
  }
  for (int64_t p = 0; p < frame.planes; ++p) fill_beyond(frame, shape, to + p * frame.plane);
}

// ---- along one axis, all pixels of a row at once

/// What a row of the result is made of: pixels along one axis, which place lies where.
struct Row {
  const int32_t* pixels;
  const double* fractions;
  int64_t width;
};

/// One channel of one row whose places move along it. Runs of neighbours take one after the other; each writes up to
/// the end of a vector, so they come in order.
void sum_along_row(const Frame& frame, const float* plane, int64_t y, const Row& row, uint8_t fill, uint8_t* to) {
  const Doubles tag;
  for (int64_t begin = 0, end = 0; begin < row.width; begin = end) {
    const int32_t first = row.pixels[begin];
    if (first == kOutside) {
      while (end < row.width && row.pixels[end] == kOutside) ++end;
      std::memset(to + begin, fill, static_cast<size_t>(end - begin));
      continue;
    }
    while (end < row.width && row.pixels[end] == first + (end - begin)) ++end;
    const float* from = frame.at(plane, first - 1, y) - begin;
    for (int64_t x = begin; x < end; x += kLanes) {
      store_bytes(tag, cubic_from(tag, from + x, 1, hn::LoadU(tag, row.fractions + x)), to + x);
    }
  }
}

/// One channel of one row whose places move up and down: those of a vector may lie in several rows of the image.
void sum_across_rows(const Frame& frame, const float* plane, const Row& row, uint8_t fill, uint8_t* to) {
  const Doubles tag;
  const Ints ints;
  const hn::Rebind<float, Doubles> floats;
  for (int64_t x = 0; x < row.width; x += kLanes) {
    const auto pixels = hn::LoadU(ints, row.pixels + x);
    int32_t first = kOutside, last = kOutside;  // in some order
    for (int64_t lane = 0; lane < kLanes && x + lane < row.width; ++lane) {
      const int32_t pixel = row.pixels[x + lane];
      if (first == kOutside) first = pixel;
      if (pixel != kOutside) last = pixel;
    }
    if (first == kOutside) {
      std::memset(to + x, fill, kLanes);
      continue;
    }
    hn::Vec<decltype(floats)> v[4];
    for (auto& value : v) value = hn::Zero(floats);
    for (int32_t y = first < last ? first : last; y <= (first < last ? last : first); ++y) {
      const auto lies_here = hn::RebindMask(floats, hn::Eq(pixels, hn::Set(ints, y)));
      const float* from = frame.at(plane, x, y - 1);
      for (int64_t i = 0; i < 4; ++i) v[i] = hn::IfThenElse(lies_here, hn::LoadU(floats, from + i * frame.row), v[i]);
    }
    const auto value = cubic_of_bytes(tag, v[0], v[1], v[2], v[3], hn::LoadU(tag, row.fractions + x));
    store_bytes(tag, value, to + x);
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      if (row.pixels[x + lane] == kOutside) to[x + lane] = fill;
    }
  }
}

/// Rows of channels, each `stride` bytes long with room behind, to pixels.
HWY_INLINE void interleave(const uint8_t* rows, int64_t stride, int64_t width, int64_t channels, uint8_t* to) {
  if (channels == 1) {
    std::memcpy(to, rows, static_cast<size_t>(width));
    return;
  }
  const hn::CappedTag<uint8_t, 16> bytes;
  const auto lanes = static_cast<int64_t>(hn::Lanes(bytes));
  int64_t x = 0;
  for (; x + lanes <= width; x += lanes) {
    hn::StoreInterleaved3(hn::LoadU(bytes, rows + x), hn::LoadU(bytes, rows + stride + x),
                          hn::LoadU(bytes, rows + 2 * stride + x), bytes, to + 3 * x);
  }
  for (; x < width; ++x) {
    for (int64_t c = 0; c < 3; ++c) to[3 * x + c] = rows[c * stride + x];
  }
}

/// What lies where in the memory: the positions of a row, its result and the frame.
struct Layout {
  Layout(const PixelShape& shape, std::byte* memory)
      : length(shape.width + kBehind),
        fractions_x(reinterpret_cast<double*>(memory)),
        fractions_y(fractions_x + length),
        pixels_x(reinterpret_cast<int32_t*>(fractions_y + length)),
        pixels_y(pixels_x + length),
        result(reinterpret_cast<uint8_t*>(pixels_y + length)),
        frame(reinterpret_cast<float*>(fractions_x + 4 * length)) {}

  static int64_t bytes(const PixelShape& shape, const Frame& frame) {
    return (shape.width + kBehind) * 4 * static_cast<int64_t>(sizeof(double)) +
           frame.floats() * static_cast<int64_t>(sizeof(float));
  }

  int64_t length;
  double *fractions_x, *fractions_y;
  int32_t *pixels_x, *pixels_y;
  uint8_t* result;
  float* frame;
};

void move_along_axis(const PixelShape& shape, const uint8_t* from, const double* map, bool is_along_row,
                     const uint8_t* fill, uint8_t* to, std::byte* memory) {
  const Frame frame(shape, shape.channels, 1);
  const Layout scratch(shape, memory);
  fill_frame(frame, shape, from, scratch.frame);
  const double* axis = is_along_row ? map : map + 3;
  const Row row{.pixels = scratch.pixels_x, .fractions = scratch.fractions_x, .width = shape.width};
  for (int64_t y = 0; y < shape.height; ++y, to += shape.row_bytes()) {
    find_positions(axis[0], axis[1] * (static_cast<double>(y) + 0.5), axis[2],
                   is_along_row ? shape.width : shape.height, shape.width, scratch.pixels_x, scratch.fractions_x);
    for (int64_t c = 0; c < shape.channels; ++c) {
      const float* plane = scratch.frame + c * frame.plane;
      uint8_t* result = scratch.result + c * scratch.length;
      is_along_row ? sum_along_row(frame, plane, y, row, fill[c], result)
                   : sum_across_rows(frame, plane, row, fill[c], result);
    }
    interleave(scratch.result, scratch.length, shape.width, shape.channels, to);
  }
}

// ---- along both axes, pixel by pixel

HWY_INLINE hn::Vec<Channels> load_channels(const float* from) {
  return hn::PromoteTo(Channels(), hn::LoadU(hn::Rebind<float, Channels>(), from));
}

struct CubicPixel {
  HWY_INLINE auto along_row(int row) const {
    return cubic_from(Channels(), from + (row - 1) * stride - kSpacing, kSpacing, hn::Set(Channels(), x));
  }
  HWY_INLINE auto value() const {
    return cubic(Channels(), along_row(0), along_row(1), along_row(2), along_row(3), hn::Set(Channels(), y));
  }

  const float* from;
  int64_t stride;
  double x, y;
};

struct LinearPixel {
  HWY_INLINE auto along_row(int row) const {
    const float* pixel = from + row * stride;
    return between(load_channels(pixel), load_channels(pixel + kSpacing), hn::Set(Channels(), x));
  }
  HWY_INLINE auto value() const { return between(along_row(0), along_row(1), hn::Set(Channels(), y)); }

  const float* from;
  int64_t stride;
  double x, y;
};

template <class Pixel, int kChannels>
void move_freely(const PixelShape& shape, const uint8_t* from, const double* map, const uint8_t* fill, uint8_t* to,
                 std::byte* memory) {
  const Frame frame(shape, 1, kSpacing);
  const Layout scratch(shape, memory);
  fill_frame(frame, shape, from, scratch.frame);
  for (int64_t row = 0; row < shape.height; ++row) {
    const double y = static_cast<double>(row) + 0.5;
    find_positions(map[0], map[1] * y, map[2], shape.width, shape.width, scratch.pixels_x, scratch.fractions_x);
    find_positions(map[3], map[4] * y, map[5], shape.height, shape.width, scratch.pixels_y, scratch.fractions_y);
    for (int64_t x = 0; x < shape.width; ++x, to += kChannels) {
      uint8_t channels[kSpacing];
      std::memcpy(channels, fill, 3);
      const int64_t column = scratch.pixels_x[x], line = scratch.pixels_y[x];
      if (column != kOutside && line != kOutside) {
        const float* place = frame.at(scratch.frame, column, line);
        for (int64_t lane = 0; lane < kSpacing; lane += kChannelLanes) {
          const Pixel pixel{place + lane, frame.row, scratch.fractions_x[x], scratch.fractions_y[x]};
          store_bytes(Channels(), pixel.value(), channels + lane);
        }
      }
      std::memcpy(to, channels, kChannels);
    }
  }
}

/// Shears and translations move along one axis only: the sum over the other one is its second value, exactly.
bool is_along_row(const double* map) { return map[0] == 1 && map[3] == 0 && map[4] == 1 && map[5] == 0; }
bool is_along_column(const double* map) { return map[0] == 1 && map[1] == 0 && map[2] == 0 && map[4] == 1; }

int64_t scratch_bytes(const PixelShape& shape) {
  const Frame planar(shape, shape.channels, 1), spaced(shape, 1, kSpacing);
  return Layout::bytes(shape, planar.floats() > spaced.floats() ? planar : spaced);
}

void move_image(const PixelShape& shape, const uint8_t* from, const double* map, bool is_cubic, const uint8_t* fill,
                uint8_t* to, std::byte* memory) {
  if (is_cubic && (is_along_row(map) || is_along_column(map))) {
    move_along_axis(shape, from, map, is_along_row(map), fill, to, memory);
  } else if (shape.channels == 3) {
    (is_cubic ? move_freely<CubicPixel, 3> : move_freely<LinearPixel, 3>)(shape, from, map, fill, to, memory);
  } else {
    (is_cubic ? move_freely<CubicPixel, 1> : move_freely<LinearPixel, 1>)(shape, from, map, fill, to, memory);
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {

HWY_EXPORT(scratch_bytes);
HWY_EXPORT(move_image);

void affine(const PixelShape& shape, const uint8_t* from, const std::array<double, 6>& map, Seen seen,
            const std::array<uint8_t, 3>& fill, uint8_t* to, std::pmr::memory_resource& memory) {
  prepare_dispatch();
  const Scratch scratch(HWY_DYNAMIC_DISPATCH(scratch_bytes)(shape), memory);
  HWY_DYNAMIC_DISPATCH(move_image)
  (shape, from, map.data(), seen == Seen::kCubic, fill.data(), to, static_cast<std::byte*>(scratch.begin()));
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
