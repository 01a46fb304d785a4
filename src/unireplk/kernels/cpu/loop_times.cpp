#include <algorithm>
#include <memory_resource>
#include <vector>

#include "unireplk/core/clock.h"
#include "unireplk/kernels/cpu/plane.h"
#include "unireplk/kernels/cpu/scratch.h"
#include "unireplk/kernels/peak.h"

namespace unireplk::kernels {
namespace {

/// Seconds of one call: the median of samples that are long for the clock.
template <class Call>
double time_of(const Call& call) {
  constexpr double kSampleSeconds = 2e-4;
  constexpr int kSamples = 31;
  int64_t calls = 1;
  const auto sample = [&] {
    const Stopwatch clock;
    for (int64_t i = 0; i < calls; ++i) call();
    return clock.seconds();
  };
  while (sample() < kSampleSeconds) calls *= 2;
  std::vector<double> samples(kSamples);
  std::generate(samples.begin(), samples.end(), sample);
  std::nth_element(samples.begin(), samples.begin() + kSamples / 2, samples.end());
  return samples[kSamples / 2] / static_cast<double>(calls);
}

}  // namespace

LoopTimes measure_depthwise_loops(const MapShape& map, const KernelShape& kernel) {
  const auto planes = plane_functions();
  const auto layout = PlaneLayouts(map, kernel.reach(), planes.lanes).of(map.images);
  const int64_t filter_floats = line_aligned(kernel.taps() * planes.lanes);
  const int64_t floats = 2 * layout.floats() + 2 * filter_floats + kMaxLanes;
  const Scratch scratch(floats * static_cast<int64_t>(sizeof(float)), *std::pmr::new_delete_resource());
  auto* const begin = static_cast<float*>(scratch.begin());
  std::fill_n(begin, floats, 0.0F);
  Arena arena(begin);
  float *from = arena.take(layout.floats()), *to = arena.take(layout.floats());
  float *filters = arena.take(filter_floats), *sums = arena.take(filter_floats);
  const Term term{from + layout.first_pixel(), filters, kernel.size, kernel.dilation};
  const Pixels<const float> start{arena.take(kMaxLanes), 0, 0};
  const Pixels<float> result{to + layout.first_pixel(), layout.row_floats(), planes.lanes};
  const double share = 1e9 / static_cast<double>(layout.images * planes.lanes);
  return {.convolution = share * time_of([&] { planes.convolve(layout, term, start, result, {}); }),
          .gradient = share * time_of([&] {
                        planes.correlate(layout, result.first, term.plane, kernel.size, kernel.dilation, sums, {});
                      })};
}

}  // namespace unireplk::kernels
