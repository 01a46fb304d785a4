#pragma once

#include <cstdint>

#include "unireplk/kernels/rows.h"

/// How a pass over a map [images, pixels, channels] is dealt out to threads. Plain numbers, so that the host can check
/// them; of the shape alone, so that sums are the same bits every time.
namespace unireplk::kernels::cuda {

inline constexpr int kRowThreads = 256;  ///< of a thread block
inline constexpr int kRowVector =
    8;  ///< channels that a thread takes at once, where memory allows: 16 bytes of 16-bit values
inline constexpr int kMostColumns = 64;          ///< threads of a block along the channels
inline constexpr int64_t kRowBlocks = 16 * 132;  ///< thread blocks that a pass is cut into, about
inline constexpr int kFewestPixels = 4;          ///< of a thread, where the map has as many

/// What a thread visits: pixels first, first + rows, ... before last of an image, at `vector` channels from `channel`
/// on. Threads with nothing to do have first == last, and a channel that exists.
struct RowWalk {
  int64_t image = 0, first = 0, last = 0;
  int channel = 0;
};

/// A thread block takes a piece of the channels and a chunk of the pixels of one image; its threads lie in rows, a
/// pixel each.
struct RowPlan {
  int64_t images, pixels;
  int64_t chunk = 0;  ///< pixels, of all chunks but the last
  int channels, vector;
  int columns = 0, rows = 0;   ///< of threads
  int pieces = 0, chunks = 0;  ///< of channels, of pixels

  /// \param vector  divides the channels; nothing of the shape is 0.
  constexpr RowPlan(const RowsShape& shape, int wanted_vector)
      : images(shape.images), pixels(shape.pixels), channels(static_cast<int>(shape.channels)), vector(wanted_vector) {
    const int groups = channels / vector;
    pieces = (groups + kMostColumns - 1) / kMostColumns;
    columns = (groups + pieces - 1) / pieces;
    rows = kRowThreads / columns;
    const int64_t fewest = int64_t{kFewestPixels} * rows, most_chunks = (pixels + fewest - 1) / fewest;
    int64_t wanted = kRowBlocks / (images * pieces);
    wanted = wanted < 1 ? 1 : wanted;
    wanted = wanted > most_chunks ? most_chunks : wanted;
    chunk = (pixels + wanted - 1) / wanted;
    chunks = static_cast<int>((pixels + chunk - 1) / chunk);
  }

  constexpr int64_t blocks() const { return images * chunks; }  ///< of each piece

  /// A launch has fewer blocks than 2^31, and devices divide numbers of 64 bits slowly.
  constexpr int64_t image(int64_t block) const { return static_cast<uint32_t>(block) / static_cast<uint32_t>(chunks); }

  constexpr int64_t first_pixel(int64_t block) const { return (block - image(block) * chunks) * chunk; }
  constexpr int64_t last_pixel(int64_t block) const {
    const int64_t last = first_pixel(block) + chunk;
    return last < pixels ? last : pixels;
  }

  /// Pixels that the threads in a row of a block visit.
  constexpr int64_t pixels_of_row(int64_t block, int row) const {
    const int64_t count = last_pixel(block) - first_pixel(block) - row;
    return count <= 0 ? 0 : (count + rows - 1) / rows;
  }

  constexpr RowWalk walk(int64_t block, int piece, int thread) const {
    const int row = thread / columns, channel = (piece * columns + thread % columns) * vector;
    RowWalk walk{.image = image(block)};
    if (row >= rows || channel >= channels) return walk;
    walk.channel = channel;
    walk.last = last_pixel(block);
    walk.first = first_pixel(block) + row;
    if (walk.first > walk.last) walk.first = walk.last;
    return walk;
  }

  /// Of a value in a map.
  constexpr int64_t offset(const RowWalk& walk, int64_t pixel) const {
    return (walk.image * pixels + pixel) * channels + walk.channel;
  }
};

}  // namespace unireplk::kernels::cuda
