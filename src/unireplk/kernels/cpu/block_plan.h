#pragma once

#include <algorithm>
#include <utility>

#include "unireplk/kernels/block.h"
#include "unireplk/kernels/cpu/layout.h"

namespace unireplk::kernels {

/// Floats of the planes of a line that may stay from one pass to the next.
inline constexpr int64_t kMostLineFloats = int64_t{1} << 21;

/// How the work of a block is cut, and where its parts lie. Plain numbers: code of every instruction set reads it.
struct BlockPlan {
  struct Branch {
    int64_t size, dilation;
    int64_t taps;
    int64_t first_tap;  ///< taps of the branches before
  };

  BlockPlan(const BlockShape& shape, int64_t lanes_of_vector)
      : map(shape.map),
        lanes(lanes_of_vector),
        vectors(kMaxLanes / lanes),
        count(shape.count()),
        layouts(map, shape.branches[0].reach(), lanes),
        grid(map) {
    for (int64_t b = 0; b < count; ++b) {
      const auto& kernel = shape.branches[static_cast<size_t>(b)];
      branches[b] = {kernel.size, kernel.dilation, kernel.taps(), taps};
      taps += kernel.taps();
    }
    const int64_t of_task = vectors * planes() * plane_set();
    lines_stay = grid.chunks == 1 && !layouts.is_padded() && !layouts.overlaps() && of_task <= kMostLineFloats;
  }

  const Branch& large() const { return branches[0]; }
  int64_t products() const { return count * (count + 1) / 2; }
  double pixels(int64_t images) const { return static_cast<double>(images * map.height * map.width); }
  int64_t chunk_images(int64_t chunk) const {
    const int64_t first = chunk * grid.chunk_images;
    return first + grid.chunk_images > map.images ? map.images - first : grid.chunk_images;
  }

  // Floats of the parts of the workspace, for one vector of channels. A task has `vectors` of each, one after the
  // other.
  int64_t moments() const { return (count + products()) * lanes; }
  int64_t merged() const { return (large().taps + 1) * lanes; }       ///< kernel and bias
  int64_t correlation() const { return (large().taps + 1) * lanes; }  ///< and the sum of dy
  int64_t coefficients() const { return (4 * count + 2) * lanes; }
  int64_t filters() const { return taps * lanes; }
  int64_t planes() const { return ceil_divide(grid.chunk_images, layouts.images()); }  ///< of a task, at most
  int64_t kept_plane() const { return count * layouts.floats(); }                      ///< branches of one plane
  int64_t plane_set() const { return (count + 2) * layouts.floats(); }                 ///< and of x and dy
  /// Planes of a vector that a worker has memory for.
  int64_t held() const { return lines_stay ? planes() : 1; }
  int64_t kept_task() const { return vectors * planes() * kept_plane(); }
  int64_t kept() const { return grid.tasks() * kept_task(); }

  /// Where in a task's the kept branches of the i-th plane of a vector start.
  int64_t kept_start(int64_t vector, int64_t i) const { return (vector * planes() + i) * kept_plane(); }

  /// First and end of the channels in a vector of a line: none where the map has no more.
  std::pair<int64_t, int64_t> channels(int64_t line, int64_t vector) const {
    const int64_t first = std::min(line * kMaxLanes + vector * lanes, map.channels);
    return {first, std::min(first + lanes, map.channels)};
  }

  int64_t worker() const {
    return vectors * held() * plane_set() + layouts.floats() + (vectors + 1) * line_aligned(filters()) +
           line_aligned(moments());
  }

  MapShape map;
  int64_t lanes;
  int64_t vectors;   ///< of a task
  int64_t count;     ///< of branches
  int64_t taps = 0;  ///< of all branches
  Branch branches[kMaxBranches] = {};
  PlaneLayouts layouts;
  TaskGrid grid;
  bool lines_stay;  ///< whether a worker holds all planes of a line, which so stay from pass to pass
};

/// One plane of x, of the gradient of y and, one behind the other, of all branches.
struct BlockPlanes {
  float* branch(const BlockPlan& plan, int64_t b) const { return branches + b * plan.layouts.floats(); }

  float *x, *dy, *branches;
};

/// Row of the pair (a, b), a <= b, in the upper triangle of a matrix with `count` columns.
constexpr int64_t pair_index(int64_t a, int64_t b, int64_t count) { return a * count - a * (a - 1) / 2 + b - a; }

/// What gradient_task multiplies with: rows of a block's coefficients. Of branch b rows 4 b to 4 b + 3.
enum CoefficientRow : int64_t { kMean = 0, kSlope = 1, kGradientScale = 2, kSpread = 3, kRowsOfBranch = 4 };

}  // namespace unireplk::kernels
