#pragma once

#include <cstddef>
#include <cstdint>

#include "unireplk/kernels/block.h"
#include "unireplk/kernels/cuda/element.h"

/// How a block's two passes share the workspace.
namespace unireplk::kernels::cuda {

struct BlockParameters;
struct Map;

/// Pointers into the workspace of a pass, or null pointers when only its size is wanted.
struct ForwardWorkspace {
  float* packed;   ///< [all taps][channels], of all branches
  float* merged;   ///< [taps of the large kernel][channels]
  float* bias;     ///< [channels]
  float* partial;  ///< of thread blocks
  void* planes;    ///< of maps that have second moments: row planes of x
  void* pairs;     ///< and what is worked in
  int64_t bytes;

  ForwardWorkspace(bool has_second_moments, const Map& map, void* workspace);
};

struct BackwardWorkspace {
  float* packed;        ///< [all taps][channels], of all branches
  float* flipped;       ///< the same, each branch's last tap first
  float* correlation;   ///< [taps of the large kernel + 1][channels]
  float* coefficients;  ///< [kCoefficients][channels]
  float* partial;       ///< of thread blocks
  void* gradients;      ///< [branches][images at once, height, width, channels], in the map's element type
  void* planes;         ///< of maps that have second moments, in place of gradients: row planes of x
  void* planes_of_dy;   ///< and of dy
  void* pairs;          ///< and what is worked in
  int64_t bytes;

  BackwardWorkspace(bool has_second_moments, Element element, const Map& map, void* workspace);
};

/// Images whose branches' gradients are in memory at once: as many as leave them in the device's cache.
int images_at_once(Element element, const Map& map);

BlockParameters parameters_of(const BlockWeights& weights);

/// All branches' weights, packed as convolution.h says, and flipped besides, unless `flipped` is null.
void pack_branches(const BlockParameters& parameters, int channels, float* packed, float* flipped, Stream stream);

}  // namespace unireplk::kernels::cuda
