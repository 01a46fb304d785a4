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

/// One vector of channels of a map.
struct ChannelVector {
  int64_t channel;  ///< its first
  int64_t count;    ///< of channels; the vector's other lanes are 0
};

/// Where a task's channels and images lie in a map.
struct Place {
  Place(const MapShape& map, const TaskGrid& grid, int64_t task)
      : first_channel(grid.line(task) * kMaxLanes),
        channels(least(kMaxLanes, map.channels - first_channel)),
        vectors((channels + kLanes - 1) / kLanes),
        first_image(grid.chunk(task) * grid.chunk_images),
        end_image(least(map.images, first_image + grid.chunk_images)),
        pixel_floats(map.channels),
        pixels(map.height * map.width),
        image_floats(pixels * map.channels) {}

  ChannelVector vector(int64_t i) const { return {first_channel + i * kLanes, least(kLanes, channels - i * kLanes)}; }
  int64_t offset(int64_t image, const ChannelVector& vector) const { return image * image_floats + vector.channel; }

  /// What comes after vector `i` of an image: its next vector, or the first of the next image.
  Upcoming after(int64_t image, int64_t i, const float* map, const float* other = nullptr) const {
    const bool same_image = i + 1 < vectors;
    if (!same_image && image + 1 == end_image) return {};
    const int64_t at = same_image ? offset(image, vector(i + 1)) : offset(image + 1, vector(0));
    return {.maps = {map + at, other ? other + at : nullptr}, .pixel = pixel_floats, .pixels = pixels};
  }

  int64_t first_channel, channels;
  int64_t vectors;
  int64_t first_image, end_image;
  int64_t pixel_floats, pixels, image_floats;
};

/// One image's vector of channels to a plane. `from` is its first pixel's first channel, `stride` all channels.
inline void pack_plane(const PlaneLayout& layout, const float* from, int64_t stride, int64_t count, float* plane) {
  for (int64_t y = 0; y < layout.height; ++y) {
    float* row = plane + y * layout.row_floats() + layout.first_pixel();
    for (int64_t x = 0; x < layout.width; ++x, from += stride) store(load_channels(from, count), row + x * kLanes);
  }
}

inline void unpack_plane(const PlaneLayout& layout, const float* plane, float* to, int64_t stride, int64_t count) {
  for (int64_t y = 0; y < layout.height; ++y) {
    const float* row = plane + y * layout.row_floats() + layout.first_pixel();
    for (int64_t x = 0; x < layout.width; ++x, to += stride) store_channels(load(row + x * kLanes), to, count);
  }
}

/// Filters [channels][taps] to [taps][lanes]; channels beyond `count` become 0.
inline void pack_filters(const float* from, int64_t taps, int64_t count, float* to) {
  if (count == kLanes && kLanes > 1) {
    const hn::RebindToSigned<Floats> integers;
    const auto channels = hn::Mul(hn::Iota(integers, 0), hn::Set(integers, static_cast<int32_t>(taps)));
    for (int64_t i = 0; i < taps; ++i) store(hn::GatherIndex(Floats(), from + i, channels), to + i * kLanes);
    return;
  }
  for (int64_t i = 0; i < taps; ++i) {
    for (int64_t lane = 0; lane < kLanes; ++lane) to[i * kLanes + lane] = lane < count ? from[lane * taps + i] : 0.0F;
  }
}

/// The same with the order of the taps turned round, as the transposed convolution wants it.
inline void flip_filters(const float* packed, int64_t taps, float* to) {
  for (int64_t i = 0; i < taps; ++i) store(load(packed + (taps - 1 - i) * kLanes), to + i * kLanes);
}

inline void unpack_filters(const float* packed, int64_t taps, int64_t count, float* to) {
  for (int64_t lane = 0; lane < count; ++lane) {
    for (int64_t i = 0; i < taps; ++i) to[lane * taps + i] = packed[i * kLanes + lane];
  }
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

/// PlaneFunctions::convolve into a vector of an image, `to` on, of a map with `stride` channels; `scratch` is a plane
/// for vectors that are not full.
inline void convolve_image(const PlaneFunctions& planes, const PlaneLayout& layout, const Term& term,
                           const Pixels<const float>& start, float* to, int64_t stride, int64_t count, float* scratch,
                           const Upcoming& upcoming) {
  if (count == kLanes) {
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
