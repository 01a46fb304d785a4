#include "unireplk/kernels/cuda/block.h"

#include <algorithm>

#include "unireplk/kernels/cuda/block_algebra.cuh"
#include "unireplk/kernels/cuda/block_coefficients.h"
#include "unireplk/kernels/cuda/block_layout.h"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/convolve_planes.h"
#include "unireplk/kernels/cuda/data_gradient.h"
#include "unireplk/kernels/cuda/row_planes.h"
#include "unireplk/kernels/cuda/second_moments.h"
#include "unireplk/kernels/cuda/workspace_cutter.h"

namespace unireplk::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kGradientBytes = 40 << 20;  // of a cache of 50 MB, which x and dx want their part of

int64_t bytes_of(Element element) { return element == Element::kFloat ? 4 : 2; }

/// [taps][channels] from each branch's [channels][taps].
__global__ void pack_branches_kernel(BlockParameters parameters, int channels, float* packed, float* flipped) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= kAllTaps * channels) return;
  const int c = i % channels, tap = i / channels;
#pragma unroll
  for (int b = 0; b < kBranches; ++b) {
    const int first = first_of_branch(b), taps = first_of_branch(b + 1) - first, of_branch = tap - first;
    if (of_branch < 0 || of_branch >= taps) continue;
    const float weight = parameters.weight[b][int64_t{c} * taps + of_branch];
    packed[i] = weight;
    if (flipped) flipped[int64_t{first + taps - 1 - of_branch} * channels + c] = weight;
  }
}

}  // namespace

ForwardWorkspace::ForwardWorkspace(bool has_second_moments, const Map& map, void* workspace)
    : planes(nullptr), pairs(nullptr) {
  const int64_t channels = map.channels, blocks = has_second_moments ? 1 : kResidentBlocks;
  WorkspaceCutter cutter(workspace);
  packed = cutter.cut<float>(kAllTaps * channels);
  merged = cutter.cut<float>(kLargeTaps * channels);
  bias = cutter.cut<float>(channels);
  partial = cutter.cut<float>(blocks * (kMomentRows + 1) * channels);
  if (has_second_moments) {
    planes = cutter.bytes(row_planes_bytes(map));
    pairs = cutter.bytes(std::max(second_moments_bytes(map), convolve_planes_workspace(map)));
  }
  bytes = cutter.used();
}

BackwardWorkspace::BackwardWorkspace(bool has_second_moments, Element element, const Map& map, void* workspace)
    : gradients(nullptr), planes(nullptr), planes_of_dy(nullptr), pairs(nullptr) {
  const int64_t channels = map.channels;
  WorkspaceCutter cutter(workspace);
  packed = cutter.cut<float>(kAllTaps * channels);
  flipped = cutter.cut<float>(kAllTaps * channels);
  correlation = cutter.cut<float>((kLargeTaps + 1) * channels);
  coefficients = cutter.cut<float>(kCoefficients * channels);
  if (has_second_moments) {
    partial = cutter.cut<float>(int64_t{correlation_parts(map)} * (kLargeTaps + 1) * channels);
    planes = cutter.bytes(row_planes_bytes(map));
    planes_of_dy = cutter.bytes(row_planes_bytes(map));
    pairs = cutter.bytes(data_gradient_workspace(map));
  } else {
    const int at_once = images_at_once(element, map);
    const int64_t chunks = ceil_div(map.images, chunk_images(map)) + ceil_div(map.images, at_once);
    partial = cutter.cut<float>(chunks * kAllTaps * channels);
    gradients = cutter.bytes(kBranches * at_once * map.plane() * bytes_of(element));
  }
  bytes = cutter.used();
}

int images_at_once(Element element, const Map& map) {
  const int64_t bytes = kBranches * map.plane() * bytes_of(element);
  const int64_t most = std::max<int64_t>(kGradientBytes / bytes, 1);
  return ceil_div(map.images, ceil_div(map.images, most));  // in groups of one size
}

BlockParameters parameters_of(const BlockWeights& weights) {
  BlockParameters parameters{};
  for (int b = 0; b < kBranches; ++b) {
    parameters.weight[b] = weights.branches[b].weight;
    parameters.gamma[b] = weights.branches[b].gamma;
    parameters.beta[b] = weights.branches[b].beta;
  }
  parameters.outer_gamma = weights.gamma;
  parameters.outer_beta = weights.beta;
  return parameters;
}

void pack_branches(const BlockParameters& parameters, int channels, float* packed, float* flipped, Stream stream) {
  pack_branches_kernel<<<ceil_div(int64_t{kAllTaps} * channels, kThreads), kThreads, 0, stream>>>(parameters, channels,
                                                                                                  packed, flipped);
}

bool has_block_kernel(const BlockShape& shape) {
  if (shape.count() != kBranches) return false;
  for (int b = 0; b < kBranches; ++b) {
    if (shape.branches[b].size != branch_size(b) || shape.branches[b].dilation != branch_dilation(b)) return false;
  }
  return true;
}

BlockPlan plan_block(Element element, const BlockShape& shape) {
  const auto map = map_of(shape.map);
  const bool has_moments = has_second_moments(element, map);
  return {.has_second_moments = has_moments,
          .moments = kMomentRows + (has_moments ? product_rows() : 0),
          .forward_bytes = ForwardWorkspace(has_moments, map, nullptr).bytes,
          .backward_bytes = BackwardWorkspace(has_moments, element, map, nullptr).bytes};
}

}  // namespace unireplk::kernels::cuda
