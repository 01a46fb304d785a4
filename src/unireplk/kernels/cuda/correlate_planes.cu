#include "unireplk/kernels/cuda/branches.cuh"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/row_planes.h"
#include "unireplk/kernels/cuda/row_products.cuh"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kTaps = kTunedSize * kTunedSize;
static_assert(kTunedSize == kRowDistances);

/// Bytes of shared memory: the planes, and when these are done a matrix for each warp.
template <int kTiles>
size_t bytes_of(const RowPlanes& planes) {
  return std::max(StagedRowsOfPlanes<kTiles, 2>(planes.height).bytes(),
                  sizeof(float) * kProductWarps * planes.matrix());
}

/// partial[part][tap][channel], and [part][kTaps][channel] for the sum of dy. A warp has the taps of one row: products
/// of each row of dy with the row of x that the taps meet; a tap's sum lies along a diagonal, that of dy in the column
/// of ones.
template <class T, int kTiles>
__global__ void __launch_bounds__(kProductThreads)
    correlate_planes_kernel(RowPlanes planes, int images_of_part, const T* x, const T* dy, float* partial) {
  extern __shared__ __align__(16) uint16_t shared[];
  const StagedRowsOfPlanes<kTiles, 2> staged(planes.height);
  const int c = blockIdx.x, first = blockIdx.y * images_of_part, last = min(first + images_of_part, planes.images);
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes, down = warp - kPairReach;
  const bool has_taps = warp < kTunedSize;
  float sums[kTiles][2 * kTiles][4] = {};
  const T* const channels[2] = {dy + c * planes.channel(), x + c * planes.channel()};
  each_images<T, kProductWarps>(planes, staged, channels, first, last, shared, [&](const uint16_t* images) {
    if (!has_taps) return;
    for (int y = max(0, -down); y < min(planes.height, planes.height - down); ++y) {
      const RowOfImages<kTiles> of_dy(images, staged.stride, y * planes.pitch);
      const RowOfImages<kTiles> of_x(images + staged.values(), staged.stride, (y + down) * planes.pitch);
      add_row_product<T, kTiles>(of_dy, of_x, sums);
    }
  });
  if (!has_taps) return;
  float* matrix = reinterpret_cast<float*>(shared) + warp * planes.matrix();
  write_matrix<kTiles>(sums, planes.width, matrix);
  __syncwarp();
  float* out = partial + int64_t{blockIdx.y} * (kTaps + 1) * gridDim.x + c;
  const bool is_sum = lane == kTunedSize;
  if (is_sum ? down != 0 : lane > kTunedSize) return;
  float sum = 0.F;
  for (int i = 0; i < planes.width; ++i) {
    const int l = is_sum ? planes.width : i + lane - kPairReach;
    if (is_sum || (l >= 0 && l < planes.width)) sum += matrix[i * (planes.width + 1) + l];
  }
  out[(is_sum ? kTaps : int64_t{warp} * kTunedSize + lane) * gridDim.x] = sum;
}

}  // namespace

bool can_correlate_planes(const Map& map, int64_t shared_bytes) {
  const auto planes = planes_of(map);
  const size_t bytes = planes.pitch == 16 ? bytes_of<1>(planes) : bytes_of<2>(planes);
  return static_cast<int64_t>(bytes) <= shared_bytes;
}

int correlation_parts(const Map& map) { return ImageParts(map).count; }

void correlate_planes(Element element, const Map& map, const void* x, const void* dy, float* partial, Stream stream) {
  const auto planes = planes_of(map);
  const ImageParts parts(map);
  with_narrow_type(element, [&]<class T>(T) {
    with_tiles(planes, [&]<int kTiles>() {
      auto* kernel = correlate_planes_kernel<T, kTiles>;
      const size_t bytes = bytes_of<kTiles>(planes);
      allow_shared(kernel, bytes);
      const dim3 grid(map.channels, parts.count);
      kernel<<<grid, kProductThreads, bytes, stream>>>(planes, parts.images, static_cast<const T*>(x),
                                                       static_cast<const T*>(dy), partial);
    });
  });
}

}  // namespace unireplk::kernels::cuda
