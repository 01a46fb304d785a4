#pragma once

#include <algorithm>
#include <cstdint>

#include "unireplk/kernels/cpu/layout.h"
#include "unireplk/kernels/map_values.h"
#include "unireplk/kernels/parallel.h"
#include "unireplk/kernels/rows.h"

namespace unireplk::kernels {

/// A map in pieces of whole pixels, each of one image. Where they begin depends on the shape alone, and so do the bits
/// of sums that are made of the sums of pieces.
class RowPieces {
 public:
  explicit RowPieces(const RowsShape& rows)
      : shape(rows),
        per_image_(ceil_divide(rows.pixels, most_pixels(rows.channels))),
        pixels_(per_image_ == 0 ? 0 : ceil_divide(rows.pixels, per_image_)) {}

  int64_t count() const { return shape.images * per_image_; }
  int64_t image(int64_t piece) const { return piece / per_image_; }
  int64_t pixels(int64_t piece) const { return std::max<int64_t>(0, std::min(pixels_, shape.pixels - first(piece))); }

  /// Its first pixel, of those of all images.
  int64_t pixel(int64_t piece) const { return image(piece) * shape.pixels + first(piece); }

  /// A map from a piece on; none stays none.
  MapValues of(const MapValues& map, int64_t piece) const { return from<MapValues, const char>(map, piece); }
  MapMemory of(const MapMemory& map, int64_t piece) const { return from<MapMemory, char>(map, piece); }

  /// Where a piece begins in a table [images, channels], in one [pieces, channels].
  int64_t at_image(int64_t piece) const { return image(piece) * shape.channels; }
  int64_t at_piece(int64_t piece) const { return piece * shape.channels; }

  /// Floats of a table [pieces, channels].
  int64_t table_floats() const { return count() * shape.channels; }

  /// to[channel] = sum over the pieces of a table [pieces, channels], in float64.
  void add_up(const float* table, float* to, const Parallel& parallel) const {
    add_up_groups(table, 1, count(), to, parallel);
  }

  /// to[image, channel] = the same over the pieces of each image.
  void add_up_images(const float* table, float* to, const Parallel& parallel) const {
    add_up_groups(table, shape.images, per_image_, to, parallel);
  }

  const RowsShape shape;

 private:
  template <class Map, class Byte>
  Map from(Map map, int64_t piece) const {
    const int64_t bytes = map.element == Element::kFloat ? sizeof(float) : sizeof(BFloat16);
    if (map.values) map.values = static_cast<Byte*>(map.values) + pixel(piece) * shape.channels * bytes;
    return map;
  }

  /// Pixels that fit into a second-level cache with those of two other maps, and of which sums in float32 are exact
  /// enough.
  static int64_t most_pixels(int64_t channels) {
    return std::clamp<int64_t>((1 << 15) / std::max<int64_t>(channels, 1), 1, 64);
  }
  int64_t first(int64_t piece) const { return piece % per_image_ * pixels_; }
  void add_up_groups(const float* table, int64_t groups, int64_t rows, float* to, const Parallel& parallel) const;

  int64_t per_image_;
  int64_t pixels_;
};

}  // namespace unireplk::kernels
