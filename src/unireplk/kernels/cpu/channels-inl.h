// Vectors of channels between maps in memory and scratch planes (layout.h). Compiled once for each instruction set:
// include it after hwy/foreach_target.h.
#if defined(UNIREPLK_KERNELS_CPU_CHANNELS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef UNIREPLK_KERNELS_CPU_CHANNELS_INL_H
#undef UNIREPLK_KERNELS_CPU_CHANNELS_INL_H
#else
#define UNIREPLK_KERNELS_CPU_CHANNELS_INL_H
#endif

#include "unireplk/kernels/cpu/plane.h"
#include "unireplk/kernels/cpu/vectors-inl.h"

/// Before a loop over vectors in registers.
#define UNIREPLK_UNROLL _Pragma("GCC unroll 16")

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {

HWY_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
HWY_INLINE int64_t most(int64_t a, int64_t b) { return a < b ? b : a; }

HWY_INLINE void fill_zero(float* to, int64_t floats) {
  for (int64_t i = 0; i < floats; i += kLanes) store(zero(), to + i);
}

/// to += from
HWY_INLINE void add_to(float* to, const float* from, int64_t floats) {
  for (int64_t i = 0; i < floats; i += kLanes) store(hn::Add(load(to + i), load(from + i)), to + i);
}

/// values[i] = what lies i strides behind `from`, at any address
template <int kFrom, int kCount>
HWY_INLINE void load_all(Vec (&values)[kCount], const float* from, int64_t stride) {
  if constexpr (kFrom < kCount) {
    values[kFrom] = hn::LoadU(Floats(), from + kFrom * stride);
    load_all<kFrom + 1>(values, from, stride);
  }
}

/// One vector of channels of a map.
struct ChannelVector {
  int64_t channel;  ///< its first
  int64_t count;    ///< of channels; the vector's other lanes are 0
};

/// Where a task's channels and images lie in a map.
struct Place {
  Place(const MapShape& map, const TaskGrid& grid, int64_t task)
      : first_channel(grid.first_channel(task)),
        channels(least(kMaxLanes, map.channels - first_channel)),
        vectors((channels + kLanes - 1) / kLanes),
        first_image(grid.first_image(task)),
        end_image(least(map.images, first_image + grid.chunk_images)),
        pixel_floats(map.channels),
        pixels(map.height * map.width),
        image_floats(pixels * map.channels),
        next_task(task + 1 < grid.tasks() ? grid.first_image(task + 1) * image_floats + grid.first_channel(task + 1)
                                          : -1),
        next_images(least(map.images - grid.first_image(task + 1), grid.chunk_images)) {}

  ChannelVector vector(int64_t i) const { return {first_channel + i * kLanes, least(kLanes, channels - i * kLanes)}; }
  int64_t offset(int64_t image, const ChannelVector& vector) const { return image * image_floats + vector.channel; }

  /// Of `count` pixels from `map` on (and `other`, unless it is null), those to ask for while vector `i` is worked on:
  /// a cache line holds all vectors of a pixel, so each asks for a part of the pixels.
  Upcoming part(int64_t i, int64_t count, const float* map, const float* other = nullptr) const {
    const int64_t first = count * i / vectors, at = first * pixel_floats;
    return {.maps = {map + at, other ? other + at : nullptr},
            .pixel = pixel_floats,
            .pixels = count * (i + 1) / vectors - first};
  }

  /// What to ask for while vector `i` of `images` images is worked on: as many images that come after these, or the
  /// first of the task that most likely follows.
  Upcoming after(int64_t image, int64_t images, int64_t i, const float* map, const float* other = nullptr) const {
    const int64_t left = end_image - image - images;
    const int64_t at = left > 0 ? offset(image + images, vector(0)) : next_task;
    if (at < 0) return {};
    const int64_t count = least(images, left > 0 ? left : next_images) * pixels;
    return part(i, count, map + at, other ? other + at : nullptr);
  }

  /// The same, and before it these images of a map that is written once the vector is done.
  Upcoming written_and_after(int64_t image, int64_t images, int64_t i, const float* written, const float* map) const {
    Upcoming upcoming = part(i, images * pixels, written + offset(image, vector(0)));
    const Upcoming next = after(image, images, i, map);
    upcoming.maps[1] = next.pixels < upcoming.pixels ? nullptr : next.maps[0];
    return upcoming;
  }

  /// What to ask for during convolve_image from `map` to `written`: that asks for single images' rows itself.
  Upcoming around(int64_t image, int64_t images, int64_t i, const float* written, const float* map) const {
    return images > 1 ? written_and_after(image, images, i, written, map) : after(image, images, i, map);
  }

  int64_t first_channel, channels;
  int64_t vectors;
  int64_t first_image, end_image;
  int64_t pixel_floats, pixels, image_floats;
  int64_t next_task;    ///< offset of the first vector of the next one, or -1: none
  int64_t next_images;  ///< that it has
};

/// A plane's images of kVectors vectors, of which the last has `count` channels.
template <int64_t kVectors>
void pack_vectors(const PlaneLayout& layout, const float* from, int64_t pixel_floats, int64_t count, float* planes,
                  int64_t stride) {
  for (int64_t image = 0; image < layout.images; ++image) {
    for (int64_t y = 0; y < layout.height; ++y) {
      float* to = planes + layout.row(image, y);
      for (int64_t x = 0; x < layout.image_width; ++x, from += pixel_floats, to += kLanes) {
        UNIREPLK_UNROLL
        for (int64_t v = 0; v + 1 < kVectors; ++v) store(hn::LoadU(Floats(), from + v * kLanes), to + v * stride);
        store(load_channels(from + (kVectors - 1) * kLanes, count), to + (kVectors - 1) * stride);
      }
    }
  }
}

/// The images of a plane, of each of a task's vectors. Their pixels are read once, whole cache lines at a time.
/// \param from    the task's first channel of the first pixel
/// \param stride  floats from the plane of one vector to the next
template <int64_t kVectors = kMaxLanes / kLanes>
void pack_planes(const PlaneLayout& layout, const Place& place, const float* from, float* planes, int64_t stride) {
  if (place.vectors == kVectors) {
    return pack_vectors<kVectors>(layout, from, place.pixel_floats, place.vector(kVectors - 1).count, planes, stride);
  }
  if constexpr (kVectors > 1) pack_planes<kVectors - 1>(layout, place, from, planes, stride);
}

inline void unpack_plane(const PlaneLayout& layout, const float* plane, float* to, int64_t stride, int64_t count) {
  for (int64_t image = 0; image < layout.images; ++image) {
    for (int64_t y = 0; y < layout.height; ++y) {
      const float* from = plane + layout.row(image, y);
      for (int64_t x = 0; x < layout.image_width; ++x, from += kLanes, to += stride) {
        store_channels(load(from), to, count);
      }
    }
  }
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void transpose(Vec (&)[kLanes]) {}
#else
/// Values 4 i .. 4 i + 3 of four rows, turned about their diagonal, for each i.
HWY_INLINE void transpose_blocks(Vec& a, Vec& b, Vec& c, Vec& d) {
  const Floats floats;
  const hn::Repartition<double, Floats> pairs;
  const auto of = [&](Vec values) { return hn::BitCast(pairs, values); };
  const Vec ab = hn::InterleaveLower(floats, a, b), ab_upper = hn::InterleaveUpper(floats, a, b);
  const Vec cd = hn::InterleaveLower(floats, c, d), cd_upper = hn::InterleaveUpper(floats, c, d);
  a = hn::BitCast(floats, hn::InterleaveLower(pairs, of(ab), of(cd)));
  b = hn::BitCast(floats, hn::InterleaveUpper(pairs, of(ab), of(cd)));
  c = hn::BitCast(floats, hn::InterleaveLower(pairs, of(ab_upper), of(cd_upper)));
  d = hn::BitCast(floats, hn::InterleaveUpper(pairs, of(ab_upper), of(cd_upper)));
}

/// A square of kLanes, turned about its diagonal.
template <int64_t kRows>
HWY_INLINE void transpose(Vec (&rows)[kRows]) {
  const Floats d;
  UNIREPLK_UNROLL
  for (int64_t i = 0; i < kRows; i += 4) transpose_blocks(rows[i], rows[i + 1], rows[i + 2], rows[i + 3]);
  UNIREPLK_UNROLL
  for (int64_t i = 0; i < 4; ++i) {
    if constexpr (kRows == 8) {
      const Vec upper = hn::ConcatUpperUpper(d, rows[i + 4], rows[i]);
      rows[i] = hn::ConcatLowerLower(d, rows[i + 4], rows[i]);
      rows[i + 4] = upper;
    } else if constexpr (kRows == 16) {
      const Vec a = rows[i], b = rows[i + 4], c = rows[i + 8], e = rows[i + 12];
      const Vec even_left = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(b), a);
      const Vec odd_left = hn::OddEvenBlocks(b, hn::SwapAdjacentBlocks(a));
      const Vec even_right = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(e), c);
      const Vec odd_right = hn::OddEvenBlocks(e, hn::SwapAdjacentBlocks(c));
      rows[i] = hn::ConcatLowerLower(d, even_right, even_left);
      rows[i + 4] = hn::ConcatLowerLower(d, odd_right, odd_left);
      rows[i + 8] = hn::ConcatUpperUpper(d, even_right, even_left);
      rows[i + 12] = hn::ConcatUpperUpper(d, odd_right, odd_left);
    }
  }
}
#endif

/// kLanes rows, at any address, to columns.
HWY_INLINE void transpose(const float* from, int64_t stride, float* to, int64_t to_stride) {
  Vec rows[kLanes];
  UNIREPLK_UNROLL
  for (int64_t i = 0; i < kLanes; ++i) rows[i] = hn::LoadU(Floats(), from + i * stride);
  transpose(rows);
  UNIREPLK_UNROLL
  for (int64_t i = 0; i < kLanes; ++i) hn::StoreU(rows[i], Floats(), to + i * to_stride);
}

/// kLanes rows of fewer values to columns.
HWY_INLINE void transpose_short_rows(const float* from, int64_t count, float* to) {
  Vec rows[kLanes];
  UNIREPLK_UNROLL
  for (int64_t i = 0; i < kLanes; ++i) rows[i] = load_channels(from + i * count, count);
  transpose(rows);
  UNIREPLK_UNROLL
  for (int64_t i = 0; i < kLanes; ++i) {
    if (i < count) store(rows[i], to + i * kLanes);
  }
}

/// And back.
HWY_INLINE void transpose_to_short_rows(const float* from, int64_t count, float* to) {
  Vec rows[kLanes];
  UNIREPLK_UNROLL
  for (int64_t i = 0; i < kLanes; ++i) rows[i] = i < count ? load(from + i * kLanes) : zero();
  transpose(rows);
  UNIREPLK_UNROLL
  for (int64_t i = 0; i < kLanes; ++i) store_channels(rows[i], to + i * count, count);
}

/// Filters [channels][taps] to [taps][lanes]; channels beyond `count` become 0.
inline void pack_filters(const float* from, int64_t taps, int64_t count, float* to) {
  if (count == kLanes && taps >= kLanes) {
    for (int64_t i = 0; i < taps; i += kLanes) {
      const int64_t first = least(i, taps - kLanes);  // the last ones again where they do not come out even
      transpose(from + first, taps, to + first * kLanes, kLanes);
    }
    return;
  }
  if (count == kLanes) return transpose_short_rows(from, taps, to);
  for (int64_t i = 0; i < taps; ++i) {
    for (int64_t lane = 0; lane < kLanes; ++lane) to[i * kLanes + lane] = lane < count ? from[lane * taps + i] : 0.0F;
  }
}

/// The same with the order of the taps turned round, as the transposed convolution wants it.
inline void flip_filters(const float* packed, int64_t taps, float* to) {
  for (int64_t i = 0; i < taps; ++i) store(load(packed + (taps - 1 - i) * kLanes), to + i * kLanes);
}

inline void unpack_filters(const float* packed, int64_t taps, int64_t count, float* to) {
  if (count == kLanes && taps >= kLanes) {
    for (int64_t i = 0; i < taps; i += kLanes) {
      const int64_t first = least(i, taps - kLanes);
      transpose(packed + first * kLanes, kLanes, to + first, taps);
    }
    return;
  }
  if (count == kLanes) return transpose_to_short_rows(packed, taps, to);
  for (int64_t lane = 0; lane < count; ++lane) {
    for (int64_t i = 0; i < taps; ++i) to[lane * taps + i] = packed[i * kLanes + lane];
  }
}

using Doubles = hn::ScalableTag<double>;
constexpr int64_t kDoubles = static_cast<int64_t>(hn::MaxLanes(Doubles()));

HWY_INLINE hn::Vec<Doubles> load_doubles(const float* from) {
  return hn::PromoteTo(Doubles(), hn::Load(hn::Rebind<float, Doubles>(), from));
}

HWY_INLINE void store_doubles(hn::Vec<Doubles> value, float* to) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128  // their DemoteTo makes the largest float of infinity
  HWY_ALIGN double values[kDoubles];
  hn::Store(value, Doubles(), values);
  for (int64_t i = 0; i < kDoubles; ++i) to[i] = static_cast<float>(values[i]);
#else
  const hn::Rebind<float, Doubles> floats;
  hn::Store(hn::DemoteTo(floats, value), floats, to);
#endif
}

/// Sums over the chunks of a line, whose parts lie `stride` floats apart, in float64.
/// \return  `parts` itself if there is one, or `to`.
inline const float* add_chunks(int64_t chunks, const float* parts, int64_t stride, int64_t floats, float* to) {
  if (chunks == 1) return parts;
  for (int64_t i = 0; i < floats; i += kDoubles) {
    auto sum = hn::Zero(Doubles());
    for (int64_t chunk = 0; chunk < chunks; ++chunk) sum = hn::Add(sum, load_doubles(parts + chunk * stride + i));
    store_doubles(sum, to + i);
  }
  return to;
}

/// The sum of all pixels of a plane: of every row for itself, in four strands.
HWY_INLINE Vec sum_plane(const PlaneLayout& layout, const float* plane) {
  Vec total = zero();
  for (int64_t y = 0; y < layout.height; ++y) {
    const float* row = plane + y * layout.row_floats() + layout.first_pixel();
    Vec a = zero(), b = zero(), c = zero(), d = zero();
    int64_t x = 0;
    for (; x + 4 <= layout.width; x += 4, row += 4 * kLanes) {
      a = hn::Add(a, load(row));
      b = hn::Add(b, load(row + kLanes));
      c = hn::Add(c, load(row + 2 * kLanes));
      d = hn::Add(d, load(row + 3 * kLanes));
    }
    for (; x < layout.width; ++x, row += kLanes) a = hn::Add(a, load(row));
    total = hn::Add(total, hn::Add(hn::Add(a, b), hn::Add(c, d)));
  }
  return total;
}

/// The pixels of a plane.
template <class Float>
Pixels<Float> pixels_of(const PlaneLayout& layout, Float* plane) {
  return {plane + layout.first_pixel(), layout.row_floats(), kLanes};
}

/// PlaneFunctions::convolve into a vector of a plane's images, `to` on, of a map with `stride` channels; `scratch` is a
/// plane for vectors that are not full and for more than one image.
inline void convolve_image(const PlaneFunctions& planes, const PlaneLayout& layout, const Term& term,
                           const Pixels<const float>& start, float* to, int64_t stride, int64_t count, float* scratch,
                           const Upcoming& upcoming) {
  if (count == kLanes && layout.images == 1) {
    return planes.convolve(layout, term, start, {to, layout.width * stride, stride}, upcoming);
  }
  planes.convolve(layout, term, start, pixels_of(layout, scratch), upcoming);
  unpack_plane(layout, scratch, to, stride, count);
}

/// Rows whose sums are added to a total one by one; those of larger maps first make a sum of their image.
constexpr int64_t kFewRows = 8;

/// total += PlaneFunctions::correlate of two planes.
/// \param scratch  as many floats as the total
inline void add_correlation(const PlaneFunctions& planes, const PlaneLayout& layout, const float* values,
                            const float* plane, int64_t size, int64_t dilation, float* scratch, float* total,
                            const Upcoming& upcoming = {}) {
  const bool few = layout.height <= kFewRows;
  float* sums = few ? total : scratch;
  if (!few) fill_zero(sums, size * size * kLanes);
  planes.correlate(layout, values + layout.first_pixel(), plane + layout.first_pixel(), size, dilation, sums, upcoming);
  if (!few) add_to(total, sums, size * size * kLanes);
}

}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
