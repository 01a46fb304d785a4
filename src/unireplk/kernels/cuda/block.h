#pragma once

#include <cstdint>

#include "unireplk/kernels/block.h"
#include "unireplk/kernels/cuda/element.h"

/// The block of kernels/block.h on a CUDA device. All pointers in its structs are the device's then.
namespace unireplk::kernels::cuda {

/// Whether these branches have a kernel: those of the large kernels 13, in their order.
bool has_block_kernel(const BlockShape& shape);

/// How both passes go about a shape on the current device.
struct BlockPlan {
  bool has_second_moments;
  int64_t moments;                        ///< rows of what forward keeps for backward
  int64_t forward_bytes, backward_bytes;  ///< of workspace, which starts at a multiple of 256 bytes
};

/// Asks the runtime what the device has; the same answer for the same device.
BlockPlan plan_block(Element element, const BlockShape& shape);

/// \param running  null: left alone.
/// \param moments  [plan.moments, channels], written, for backward: means of the branches, upper triangle of their
///                 covariance; behind them products of x and branches, where second_moments.h makes them.
/// Numerics: branches in float32, moments of rows centred, merged in float32 and over thread blocks in float64; or as
/// second_moments.h says, and then y keeps its mean when the merged kernel is rounded, as depthwise_forward() says.
void block_forward(const BlockPlan& plan, Element element, const BlockShape& shape, const BlockWeights& weights,
                   const RunningStatistics* running, const void* x, void* y, float* moments, void* workspace,
                   Stream stream);

/// \param gradients  `x` is not looked at.
/// \param dx         [images, height, width, channels], or null: not wanted.
/// Numerics: gradients of branches are rounded to the element type, as those of the parts one by one are; where
/// second_moments.h makes the products there are none, and dx is rounded as data_gradient.h says.
void block_backward(const BlockPlan& plan, Element element, const BlockShape& shape, const BlockWeights& weights,
                    const float* moments, const void* x, const void* dy, const BlockGradients& gradients, void* dx,
                    void* workspace, Stream stream);

}  // namespace unireplk::kernels::cuda
