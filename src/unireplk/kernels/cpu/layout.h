#pragma once

#include <cstdint>

#include "unireplk/kernels/depthwise.h"

/// How the work on a map is cut. Everything here depends on shapes and vector length alone, never on threads.
namespace unireplk::kernels {

/// Columns that a tile holds in registers: with one weight, 15 of the 16 vector registers of AVX2.
inline constexpr int64_t kMaxTile = 14;

/// Floats of a cache line, and lanes of the longest vectors.
inline constexpr int64_t kMaxLanes = 16;

/// Images whose partial sums are added in float32.
inline constexpr int64_t kMaxChunk = 64;

constexpr int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Floats that fill whole cache lines.
constexpr int64_t line_aligned(int64_t floats) { return ceil_divide(floats, 16) * 16; }

/// One vector of channels of one image, or of two narrow ones side by side, as scratch: [height][pitch][lanes], where
/// each row holds `padding` zeros, the columns of the map, `padding` zeros. A row is worked on in tiles of columns of
/// one size; the last one overlaps the one before where they do not come out even.
///
/// Taps outside the map are skipped at the two ends of a row by code of their own, which knows that a tap of an end
/// tile never crosses the far end of the row. Where tiles are too small for that, rows are padded instead.
struct PlaneLayout {
  PlaneLayout(const MapShape& map, int64_t reach, int64_t lanes_of_vector, int64_t images_of_plane = 1)
      : images(images_of_plane),
        height(map.height),
        image_width(map.width),
        width(images * image_width),
        lanes(lanes_of_vector),
        tiles(ceil_divide(width, kMaxTile)) {
    tile = tiles == 0 ? 0 : ceil_divide(width, tiles);
    const int64_t last_middle_end = tile * (tiles - 1);
    const bool far_ends_out_of_reach = width - tile >= reach && (tiles < 3 || width - last_middle_end >= reach);
    const bool near_ends_out_of_reach = tiles < 3 || tile >= reach;
    padding = tiles < 2 || (far_ends_out_of_reach && near_ends_out_of_reach) ? 0 : reach;
    pitch = width + 2 * padding;
  }

  int64_t row_floats() const { return pitch * lanes; }
  int64_t floats() const { return line_aligned(height * pitch * lanes); }
  int64_t first_pixel() const { return padding * lanes; }  ///< offset of column 0 of row 0
  int64_t pixels() const { return height * width; }        ///< of all images
  int64_t row(int64_t image, int64_t y) const {            ///< offset of the first pixel of an image's row
    return y * row_floats() + first_pixel() + image * image_width * lanes;
  }

  bool overlaps() const { return tiles * tile != width; }  ///< the last two tiles
  int64_t tile_start(int64_t i) const { return i == tiles - 1 ? width - tile : i * tile; }
  bool is_left_end(int64_t i) const { return padding == 0 && i == 0; }
  bool is_right_end(int64_t i) const { return padding == 0 && i == tiles - 1; }

  int64_t images;  ///< side by side
  int64_t height;
  int64_t image_width;
  int64_t width;  ///< of all images
  int64_t lanes;
  int64_t tiles;    ///< in a row
  int64_t tile;     ///< columns of a tile
  int64_t padding;  ///< columns at either end of a row
  int64_t pitch;    ///< vectors from row to row
};

/// Two maps this wide make one tile: code for it knows where the second begins, and that no tap crosses over.
inline constexpr int64_t kPairWidth = kMaxTile / 2;

/// Planes of as many images as there are room for in a tile, or of one that is left over.
class PlaneLayouts {
 public:
  PlaneLayouts(const MapShape& map, int64_t reach, int64_t lanes)
      : one_(map, reach, lanes), most_(map, reach, lanes, map.width == kPairWidth ? 2 : 1) {}

  /// Of the next plane, when this many images are left.
  const PlaneLayout& of(int64_t images_left) const { return images_left < most_.images ? one_ : most_; }

  int64_t images() const { return most_.images; }              ///< of a plane, at most
  int64_t floats() const { return most_.floats(); }            ///< of either
  int64_t first_pixel() const { return most_.first_pixel(); }  ///< of either
  bool is_padded() const { return most_.padding > 0; }         ///< either
  bool overlaps() const { return most_.overlaps(); }           ///< tiles of either

 private:
  PlaneLayout one_, most_;
};

/// Tasks: a cache line of channels, in as many vectors as it takes, times a chunk of images. Only when there are few
/// lines are the images cut into more chunks than exactness asks for.
struct TaskGrid {
  explicit TaskGrid(const MapShape& map) : lines(ceil_divide(map.channels, kMaxLanes)) {
    constexpr int64_t kEnoughTasks = 16;
    const int64_t wanted = lines == 0 ? 0 : ceil_divide(kEnoughTasks, lines);
    const int64_t most = wanted == 0 ? 1 : ceil_divide(map.images, wanted);
    chunk_images = most < 1 ? 1 : most > kMaxChunk ? kMaxChunk : most;
    chunks = ceil_divide(map.images, chunk_images);
  }

  int64_t tasks() const { return lines * chunks; }
  int64_t line(int64_t task) const { return task / chunks; }
  int64_t chunk(int64_t task) const { return task % chunks; }
  int64_t first_channel(int64_t task) const { return line(task) * kMaxLanes; }
  int64_t first_image(int64_t task) const { return chunk(task) * chunk_images; }

  int64_t lines;
  int64_t chunk_images;
  int64_t chunks;
};

/// Cuts a workspace into parts that start at cache lines, given that the workspace does.
class Arena {
 public:
  explicit Arena(float* start) : next_(start) {}

  float* take(int64_t floats) {
    float* part = next_;
    next_ += line_aligned(floats);
    return part;
  }

 private:
  float* next_;
};

}  // namespace unireplk::kernels
