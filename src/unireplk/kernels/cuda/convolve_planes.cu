#include "unireplk/kernels/cuda/convolve_planes.h"

#include "unireplk/kernels/cuda/direct.cuh"
#include "unireplk/kernels/cuda/pair_products.cuh"
#include "unireplk/kernels/cuda/planes.cuh"
#include "unireplk/kernels/cuda/workspace_cutter.h"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTaps = kPairTaps * kPairTaps;

/// A thread block: a channel.
template <class T, class Of>
__global__ void __launch_bounds__(kThreads)
    tap_matrices_kernel(int columns, int channels, const float* packed, uint4* all_values) {
  __shared__ float taps[kTaps];
  const int c = blockIdx.x;
  for (int tap = threadIdx.x; tap < kTaps; tap += kThreads) taps[tap] = packed[int64_t{tap} * channels + c];
  __syncthreads();
  uint4* values = all_values + int64_t{c} * kPairTaps * Of::kChunks;
  for (int i = threadIdx.x; i < kPairTaps * Of::kChunks; i += kThreads) {
    const int row = i / Of::kChunks, chunk = i % Of::kChunks;
    uint32_t words[4];
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      const auto at = Of::Matrix::entry(chunk % kLanes, chunk / kLanes * 4 + word);
      const auto entry = [&](int l) {
        const int column = l - at.i + kPairReach;
        const bool is_tap = at.i < columns && l < columns && column >= 0 && column < kPairTaps;
        return is_tap ? taps[row * kPairTaps + column] : 0.F;
      };
      words[word] = pack_pair<T>(entry(at.l), entry(at.l + 1));
    }
    values[i] = {words[0], words[1], words[2], words[3]};
  }
}

constexpr int kGroupsAtOnce = 4;  // of eight channels: 64 bytes of a pixel

/// A thread: two neighbouring pixels of a row, of eight channels.
__global__ void __launch_bounds__(kThreads)
    join_planes_kernel(Map map, const uint16_t* planes, int pitch, uint16_t* y) {
  const int pairs_of_row = (map.width + 1) / 2;
  const int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / kGroupsAtOnce;
  const int c = (blockIdx.y * kGroupsAtOnce + threadIdx.x % kGroupsAtOnce) * kGroup;
  if (c >= map.channels || i >= int64_t{map.images} * map.height * pairs_of_row) return;
  const int64_t row = i / pairs_of_row, rows = int64_t{map.images} * map.height;
  const int column = 2 * static_cast<int>(i - row * pairs_of_row);
  uint4 first, second;
  join_channels(planes + (c * rows + row) * pitch + column, static_cast<int>(rows * pitch), first, second);
  uint16_t* out = y + (row * map.width + column) * map.channels + c;
  *reinterpret_cast<uint4*>(out) = first;
  if (column + 1 < map.width) *reinterpret_cast<uint4*>(out + map.channels) = second;
}

template <class Of>
struct Workspace {
  uint4* matrices;
  uint16_t* products;
  int64_t bytes;

  Workspace(const Map& map, void* memory) {
    WorkspaceCutter cutter(memory);
    Map some = map;
    some.images = product_images<Of>(map);
    matrices = cutter.cut<uint4>(int64_t{map.channels} * kPairTaps * Of::kChunks);
    products = cutter.cut<uint16_t>(product_values<Of>(some));
    bytes = cutter.used();
  }
};

}  // namespace

void make_tap_matrices(Element element, const Map& map, const float* packed, void* values, Stream stream) {
  with_cut(map, [&]<class Of>(Of) {
    with_narrow_type(element, [&]<class T>(T) {
      tap_matrices_kernel<T, Of>
          <<<map.channels, kThreads, 0, stream>>>(map.width, map.channels, packed, static_cast<uint4*>(values));
    });
  });
}

void join_planes(const Map& map, const void* planes, int pitch, void* y, Stream stream) {
  const int64_t pairs = int64_t{map.images} * map.height * ((map.width + 1) / 2);
  const dim3 grid(ceil_div(pairs * kGroupsAtOnce, kThreads), ceil_div(map.channels, kGroup * kGroupsAtOnce));
  join_planes_kernel<<<grid, kThreads, 0, stream>>>(map, static_cast<const uint16_t*>(planes), pitch,
                                                    static_cast<uint16_t*>(y));
}

bool can_convolve_planes(Element element, const Map& map, int64_t shared_bytes) {
  const int fewest = std::min(map.height, map.width), most = std::max(map.height, map.width);
  const bool fits = has_few(fewest) ? most <= kMostFewLines : most <= kMostLines;
  if (element == Element::kFloat || map.channels % kGroup != 0 || !fits) return false;
  return with_cut(map, [&]<class Of>(Of) { return shared_bytes_of_products<Of>(map, false); }) <= shared_bytes;
}

int64_t convolve_planes_workspace(const Map& map) {
  return with_cut(map, [&]<class Of>(Of) { return Workspace<Of>(map, nullptr).bytes; });
}

void convolve_planes(Element element, const Map& map, const void* planes, const float* packed, const float* bias,
                     void* y, void* memory, Stream stream) {
  with_cut(map, [&]<class Of>(Of) {
    const Workspace<Of> workspace(map, memory);
    make_tap_matrices(element, map, packed, workspace.matrices, stream);
    each_batch_of_images<Of>(map, [&](const Map& some, int first) {
      const TapTerm taps{planes_from<Of>(planes, map, first), workspace.matrices, bias};
      with_narrow_type(element,
                       [&]<class T>(T) { multiply_pairs<T, Of, false>(some, {}, taps, workspace.products, stream); });
      join_planes(some, workspace.products, Of::Matrix::kColumns, static_cast<uint16_t*>(y) + first * map.plane(),
                  stream);
    });
  });
}

}  // namespace unireplk::kernels::cuda
