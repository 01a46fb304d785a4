#include "unireplk/kernels/depthwise.h"

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
  const PlaneLayouts layouts(map, kernel.reach(), kLanes);
  const Place place(map, TaskGrid(map), task);
  Arena arena(scratch);
  float* x_planes = arena.take(place.vectors * layouts.floats());
  float* result = arena.take(layouts.floats());
  float* filters = arena.take(kernel.taps() * kMaxLanes);
  float* packed = arena.take(kernel.taps() * kMaxLanes);
  if (layouts.is_padded()) fill_zero(x_planes, place.vectors * layouts.floats());
  HWY_ALIGN float starts[kMaxLanes];
  for (int64_t v = 0; v < place.vectors; ++v) {
    const auto [channel, count] = place.vector(v);
    float* of_vector = filters + v * kernel.taps() * kLanes;
    pack_filters(weight + channel * kernel.taps(), kernel.taps(), count, flip ? packed : of_vector);
    if (flip) flip_filters(packed, kernel.taps(), of_vector);
    store(bias ? load_channels(bias + channel, count) : zero(), starts + v * kLanes);
  }
  for (int64_t image = place.first_image; image < place.end_image;) {
    const auto& layout = layouts.of(place.end_image - image);
    pack_planes(layout, place, x + place.offset(image, place.vector(0)), x_planes, layouts.floats());
    for (int64_t v = 0; v < place.vectors; ++v) {
      const auto vector = place.vector(v);
      const int64_t offset = place.offset(image, vector);
      const float* plane = x_planes + v * layouts.floats();
      const Term term{plane + layout.first_pixel(), filters + v * kernel.taps() * kLanes, kernel.size, kernel.dilation};
      convolve_image(planes, layout, term, {starts + v * kLanes, 0, 0}, y + offset, map.channels, vector.count, result,
                     place.around(image, layout.images, v, y, x));
    }
    image += layout.images;
  }
}

/// One task of the weight gradient: for each vector sums [taps][lanes] and, behind them, the sum of dy.
void correlate_task(const PlaneFunctions& planes, const Correlation& job, int64_t task, float* sums, float* scratch) {
  const auto& [map, kernel, x, dy] = job;
  const PlaneLayouts layouts(map, kernel.reach(), kLanes);
  const Place place(map, TaskGrid(map), task);
  Arena arena(scratch);
  const int64_t of_line = place.vectors * layouts.floats();
  float* plane = arena.take(of_line);
  float* values = arena.take(of_line);
  float* image_sums = arena.take(kernel.taps() * kMaxLanes);
  if (layouts.is_padded()) fill_zero(plane, 2 * of_line);
  fill_zero(sums, (kernel.taps() + 1) * kMaxLanes);
  for (int64_t image = place.first_image; image < place.end_image;) {
    const auto& layout = layouts.of(place.end_image - image);
    const int64_t offset = place.offset(image, place.vector(0));
    pack_planes(layout, place, x + offset, plane, layouts.floats());
    pack_planes(layout, place, dy + offset, values, layouts.floats());
    for (int64_t v = 0; v < place.vectors; ++v) {
      const float* of_values = values + v * layouts.floats();
      float* of_vector = sums + v * (kernel.taps() + 1) * kLanes;
      add_correlation(planes, layout, of_values, plane + v * layouts.floats(), kernel.size, kernel.dilation, image_sums,
                      of_vector, place.after(image, layout.images, v, x, dy));
      float* total = of_vector + kernel.taps() * kLanes;
      store(hn::Add(load(total), sum_plane(layout, of_values)), total);
    }
    image += layout.images;
  }
}

/// The gradients of a line from the sums of its chunks, which follow each other as correlate_task left them.
void finish_line(const KernelShape& kernel, const MapShape& map, int64_t line, const float* sums, float* dweight,
                 float* dbias, float* scratch) {
  const TaskGrid grid(map);
  const Place place(map, grid, line * grid.chunks);
  const int64_t of_vector = (kernel.taps() + 1) * kLanes, of_chunk = (kernel.taps() + 1) * kMaxLanes;
  for (int64_t v = 0; v < place.vectors; ++v) {
    const auto [channel, count] = place.vector(v);
    const float* total = add_chunks(grid.chunks, sums + v * of_vector, of_chunk, of_vector, scratch);
    unpack_filters(total, kernel.taps(), count, dweight + channel * kernel.taps());
    if (dbias) store_channels(load(total + kernel.taps() * kLanes), dbias + channel, count);
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
HWY_EXPORT(finish_line);

/// Floats that one worker needs for either kind of task.
int64_t worker_floats(const MapShape& map, const KernelShape& kernel, int64_t lanes) {
  return 2 * (kMaxLanes / lanes) * PlaneLayouts(map, kernel.reach(), lanes).floats() + 2 * kernel.taps() * kMaxLanes;
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
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_line);
  parallel.run(grid.lines, [&](int64_t line, int64_t worker) {
    finish(kernel, map, line, sums + line * grid.chunks * sum_floats(kernel), dweight, dbias,
           workspace.data() + worker * scratch);
  });
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
