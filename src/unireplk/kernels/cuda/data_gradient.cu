#include "unireplk/kernels/cuda/data_gradient.h"

#include "unireplk/kernels/cuda/convolve_planes.h"
#include "unireplk/kernels/cuda/pair_matrices.cuh"
#include "unireplk/kernels/cuda/pair_products.cuh"
#include "unireplk/kernels/cuda/workspace_cutter.h"

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

template <class T, class Of>
void launch(Element element, const Map& map, const void* planes, const void* dy_planes, const float* packed,
            const float* coefficients, void* dx, void* memory, Stream stream) {
  const Workspace<Of> workspace(map, memory);
  const auto& matrices = workspace.matrices;
  make_pair_matrices<T, typename Of::Matrix>(map, packed, coefficients, matrices, stream);
  make_tap_matrices(element, map, matrices.flipped, workspace.taps, stream);
  each_batch_of_images<Of>(map, [&](const Map& some, int first) {
    const PairTerm pairs{planes_from<Of>(planes, map, first), matrices.values, matrices.offsets, matrices.scales};
    const TapTerm taps{planes_from<Of>(dy_planes, map, first), workspace.taps, nullptr};
    multiply_pairs<T, Of, true>(some, pairs, taps, workspace.products, stream);
    join_planes(some, workspace.products, Of::Matrix::kColumns, static_cast<uint16_t*>(dx) + first * map.plane(),
                stream);
  });
}

}  // namespace

bool has_data_gradient(Element element, const Map& map, int64_t shared_bytes) {
  if (!can_convolve_planes(element, map, shared_bytes)) return false;
  return with_cut(map, [&]<class Of>(Of) { return shared_bytes_of_products<Of>(map, true); }) <= shared_bytes;
}

int64_t data_gradient_workspace(const Map& map) {
  return with_cut(map, [&]<class Of>(Of) { return Workspace<Of>(map, nullptr).bytes; });
}

void block_data_gradient(Element element, const Map& map, const void* planes, const void* dy_planes,
                         const float* packed, const float* coefficients, void* dx, void* workspace, Stream stream) {
  with_cut(map, [&]<class Of>(Of) {
    with_narrow_type(element, [&]<class T>(T) {
      launch<T, Of>(element, map, planes, dy_planes, packed, coefficients, dx, workspace, stream);
    });
  });
}

}  // namespace unireplk::kernels::cuda
