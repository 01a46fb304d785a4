#include "unireplk/kernels/depthwise.h"

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/kernels/cpu/plane.h"
#include "unireplk/kernels/cpu/targets.h"

#ifndef UNIREPLK_KERNELS_CPU_DEPTHWISE_JOBS
#define UNIREPLK_KERNELS_CPU_DEPTHWISE_JOBS
namespace unireplk::kernels {
namespace {

/// What a convolution is asked for; `flip` makes it the transposed one.
struct Convolution {
  MapShape map;
  KernelShape kernel;
  const float* x;
  const float* weight;
  const float* bias;
  bool flip;
  float* y;
};

struct Correlation {
  MapShape map;
  KernelShape kernel;
  const float* x;
  const float* dy;
};

}  // namespace
}  // namespace unireplk::kernels
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/depthwise.cpp"
#include <hwy/foreach_target.h>
// behind it
#include "unireplk/kernels/cpu/channels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

/// One task of a convolution.
void convolve_task(const PlaneFunctions& planes, const Convolution& job, int64_t task, float* scratch) {
  const auto& [map, kernel, x, weight, bias, flip, y] = job;
  const PlaneLayout layout(map, kernel.reach(), kLanes);
  const Place place(map, TaskGrid(map), task);
  Arena arena(scratch);
  float* plane = arena.take(layout.floats());
  float* result = arena.take(layout.floats());
  float* filters = arena.take(kernel.taps() * kMaxLanes);
  float* packed = arena.take(kernel.taps() * kMaxLanes);
  if (layout.padding > 0) fill_zero(plane, layout.floats());
  HWY_ALIGN float starts[kMaxLanes];
  for (int64_t v = 0; v < place.vectors; ++v) {
    const auto [channel, count] = place.vector(v);
    float* of_vector = filters + v * kernel.taps() * kLanes;
    pack_filters(weight + channel * kernel.taps(), kernel.taps(), count, flip ? packed : of_vector);
    if (flip) flip_filters(packed, kernel.taps(), of_vector);
    store(bias ? load_channels(bias + channel, count) : zero(), starts + v * kLanes);
  }
  for (int64_t image = place.first_image; image < place.end_image; ++image) {
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      const int64_t offset = place.offset(image, vector);
      pack_plane(layout, x + offset, map.channels, vector.count, plane);
      const Term term{plane + layout.first_pixel(), filters + v * kernel.taps() * kLanes, kernel.size, kernel.dilation};
      convolve_image(planes, layout, term, {starts + v * kLanes, 0, 0}, y + offset, map.channels, vector.count, result,
                     place.after(image, v, x));
    }
  }
}

/// One task of the weight gradient: for each vector sums [taps][lanes] and, behind them, the sum of dy.
void correlate_task(const PlaneFunctions& planes, const Correlation& job, int64_t task, float* sums, float* scratch) {
  const auto& [map, kernel, x, dy] = job;
  const PlaneLayout layout(map, kernel.reach(), kLanes);
  const Place place(map, TaskGrid(map), task);
  Arena arena(scratch);
  float* plane = arena.take(layout.floats());
  float* values = arena.take(layout.floats());
  float* image_sums = arena.take(kernel.taps() * kMaxLanes);
  if (layout.padding > 0) fill_zero(plane, 2 * layout.floats());
  fill_zero(sums, (kernel.taps() + 1) * kMaxLanes);
  for (int64_t image = place.first_image; image < place.end_image; ++image) {
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      pack_plane(layout, x + place.offset(image, vector), map.channels, vector.count, plane);
      pack_plane(layout, dy + place.offset(image, vector), map.channels, vector.count, values);
      float* of_vector = sums + v * (kernel.taps() + 1) * kLanes;
      add_correlation(planes, layout, values, plane, kernel.size, kernel.dilation, image_sums, of_vector,
                      place.after(image, v, x, dy));
      float* total = of_vector + kernel.taps() * kLanes;
      store(hn::Add(load(total), sum_plane(layout, values)), total);
    }
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {
namespace {

HWY_EXPORT(convolve_task);
HWY_EXPORT(correlate_task);

/// Floats that one worker needs for either kind of task.
int64_t worker_floats(const MapShape& map, const KernelShape& kernel, int64_t lanes) {
  return 2 * PlaneLayout(map, kernel.reach(), lanes).floats() + 2 * kernel.taps() * kMaxLanes;
}

/// Floats of the sums of one task.
int64_t sum_floats(const KernelShape& kernel) { return (kernel.taps() + 1) * kMaxLanes; }

void check_workspace(std::span<float> workspace, int64_t expected) {
  UNIREPLK_CHECK(static_cast<int64_t>(workspace.size()) >= expected, "workspace of {} floats, expected {}",
                 workspace.size(), expected);
}

void convolve_map(const Convolution& job, std::span<float> workspace, const Parallel& parallel) {
  const auto planes = plane_functions();
  const int64_t scratch = worker_floats(job.map, job.kernel, planes.lanes);
  check_workspace(workspace, parallel.workers * scratch);
  const auto run = HWY_DYNAMIC_DISPATCH(convolve_task);
  parallel.run(TaskGrid(job.map).tasks(),
               [&](int64_t task, int64_t worker) { run(planes, job, task, workspace.data() + worker * scratch); });
}

/// Add the sums of all chunks of a line, which start at `sums`, into the gradients of its channels.
void finish_line(const KernelShape& kernel, int64_t chunks, const float* sums, int64_t lanes, int64_t channels,
                 float* dweight, float* dbias) {
  for (int64_t first = 0; first < channels; first += lanes) {
    const float* of_vector = sums + first * (kernel.taps() + 1);
    const int64_t count = std::min(lanes, channels - first);
    for (int64_t tap = 0; tap <= kernel.taps(); ++tap) {
      double total[kMaxLanes] = {};
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const float* part = of_vector + chunk * sum_floats(kernel) + tap * lanes;
        for (int64_t lane = 0; lane < lanes; ++lane) total[lane] += part[lane];
      }
      float* to = tap < kernel.taps() ? dweight + first * kernel.taps() + tap : dbias ? dbias + first : nullptr;
      const int64_t stride = tap < kernel.taps() ? kernel.taps() : 1;
      for (int64_t lane = 0; to && lane < count; ++lane) to[lane * stride] = static_cast<float>(total[lane]);
    }
  }
}

}  // namespace

int64_t depthwise_workspace(const MapShape& map, const KernelShape& kernel, int64_t workers) {
  return workers * worker_floats(map, kernel, plane_functions().lanes) + TaskGrid(map).tasks() * sum_floats(kernel);
}

void depthwise_forward(const MapShape& map, const KernelShape& kernel, const float* x, const float* weight,
                       const float* bias, float* y, std::span<float> workspace, const Parallel& parallel) {
  convolve_map({map, kernel, x, weight, bias, /*flip=*/false, y}, workspace, parallel);
}

void depthwise_backward_data(const MapShape& map, const KernelShape& kernel, const float* dy, const float* weight,
                             float* dx, std::span<float> workspace, const Parallel& parallel) {
  convolve_map({map, kernel, dy, weight, nullptr, /*flip=*/true, dx}, workspace, parallel);
}

void depthwise_backward_weights(const MapShape& map, const KernelShape& kernel, const float* x, const float* dy,
                                float* dweight, float* dbias, std::span<float> workspace, const Parallel& parallel) {
  const auto planes = plane_functions();
  const Correlation job{map, kernel, x, dy};
  const int64_t scratch = worker_floats(map, kernel, planes.lanes);
  const TaskGrid grid(map);
  check_workspace(workspace, parallel.workers * scratch + grid.tasks() * sum_floats(kernel));
  float* sums = workspace.data() + parallel.workers * scratch;
  const auto run = HWY_DYNAMIC_DISPATCH(correlate_task);
  parallel.run(grid.tasks(), [&](int64_t task, int64_t worker) {
    run(planes, job, task, sums + task * sum_floats(kernel), workspace.data() + worker * scratch);
  });
  parallel.run(grid.lines, [&](int64_t line, int64_t) {
    const int64_t channel = line * kMaxLanes, channels = std::min(kMaxLanes, map.channels - channel);
    finish_line(kernel, grid.chunks, sums + line * grid.chunks * sum_floats(kernel), planes.lanes, channels,
                dweight + channel * kernel.taps(), dbias ? dbias + channel : nullptr);
  });
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
