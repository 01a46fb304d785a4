#include "unireplk/kernels/cuda/data_gradient.h"

#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/convolve_planes.h"
#include "unireplk/kernels/cuda/pair_matrices.cuh"
#include "unireplk/kernels/cuda/pair_products.cuh"

namespace unireplk::kernels::cuda {
namespace {

template <class Of>
struct Workspace {
  PairMatrices matrices;
  uint4* taps;         // [channels][kPairTaps]
  uint16_t* products;  // [channels][images at once][height][Matrix::kColumns], in the map's element type
  int64_t bytes;

  Workspace(const Map& map, void* memory) {
    WorkspaceCutter cutter(memory);
    Map some = map;
    some.images = product_images<Of>(map);
    const int64_t channels = map.channels;
    matrices.flipped = cutter.cut<float>(channels * kLargeTaps);
    matrices.offsets = cutter.cut<float>(channels * kOwnKinds * Of::Matrix::kColumns);
    matrices.scales = cutter.cut<float>(channels);
    matrices.values = cutter.cut<uint4>(channels * kKinds * Of::kChunks);
    taps = cutter.cut<uint4>(channels * kPairTaps * Of::kChunks);
    products = cutter.cut<uint16_t>(product_values<Of>(some));
    bytes = cutter.used();
  }
};

/// \param dy_planes  null: the convolution takes dy.
template <class T, class Of>
void launch(Element element, const Map& map, const void* planes, const T* dy, const void* dy_planes,
            const float* packed, const float* coefficients, T* dx, void* memory, Stream stream) {
  const Workspace<Of> workspace(map, memory);
  const auto& matrices = workspace.matrices;
  make_pair_matrices<T, typename Of::Matrix>(map.width, map.channels, packed, coefficients, matrices, stream);
  if (dy_planes) make_tap_matrices(element, map, matrices.flipped, workspace.taps, stream);
  each_images<Of>(map, [&](const Map& some, int first) {
    const PairTerm pairs{planes_from<Of>(planes, map, first), matrices.values, matrices.offsets, matrices.scales};
    const int64_t offset = first * map.plane();
    if (dy_planes) {
      const TapTerm taps{planes_from<Of>(dy_planes, map, first), workspace.taps, nullptr};
      multiply_pairs<T, Of, true, true>(some, pairs, taps, workspace.products, stream);
      return join_planes(some, workspace.products, Of::Matrix::kColumns, dx + offset, stream);
    }
    multiply_pairs<T, Of, true, false>(some, pairs, {}, workspace.products, stream);
    convolve_bands_onto(element, some, dy + offset, matrices.flipped, workspace.products, Of::Matrix::kColumns,
                        dx + offset, stream);
  });
}

void launch_for(Element element, const Map& map, const void* planes, const void* dy, const void* dy_planes,
                const float* packed, const float* coefficients, void* dx, void* workspace, Stream stream) {
  with_cut(map, [&]<class Of>(Of) {
    const auto run = [&]<class T>(T) {
      launch<T, Of>(element, map, planes, static_cast<const T*>(dy), dy_planes, packed, coefficients,
                    static_cast<T*>(dx), workspace, stream);
    };
    element == Element::kBFloat16 ? run(BFloat16{}) : run(Half{});
  });
}

}  // namespace

bool has_data_gradient(Element element, const Map& map) {
  if (!can_convolve_planes(element, map)) return false;
  if (!can_convolve_bands(element, map, {.size = kTunedSize, .dilation = 1})) return false;
  return with_cut(map, [&]<class Of>(Of) { return shared_bytes_of_products<Of>(map, true); }) <= most_shared_bytes();
}

int64_t data_gradient_workspace(const Map& map) {
  return with_cut(map, [&]<class Of>(Of) { return Workspace<Of>(map, nullptr).bytes; });
}

void block_data_gradient(Element element, const Map& map, const void* planes, const void* dy, const float* packed,
                         const float* coefficients, void* dx, void* workspace, Stream stream) {
  launch_for(element, map, planes, dy, nullptr, packed, coefficients, dx, workspace, stream);
}

void block_data_gradient_of_planes(Element element, const Map& map, const void* planes, const void* dy_planes,
                                   const float* packed, const float* coefficients, void* dx, void* workspace,
                                   Stream stream) {
  launch_for(element, map, planes, nullptr, dy_planes, packed, coefficients, dx, workspace, stream);
}

}  // namespace unireplk::kernels::cuda
