#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "unireplk/kernels/depthwise.h"
#include "unireplk/kernels/running_norm.h"

/// A large depthwise kernel and small dilated ones beside it, each followed by a batch norm, their sum by another (the
/// outer one), in training. float32 maps. No branch is kept unless memory for them is given, and each pass reads its
/// maps once:
///
/// forward  1. mean and covariance of all branches; from these follow the statistics of every norm,
///          2. one convolution with the one kernel that branches and norms come to.
/// backward 1. one correlation of x with the gradient, of which the gradients of all norms follow,
///          2. the branches again (or as kept), their gradients, from these those of x and of all kernels.
///
/// On a CPU where the branches of some channels' images fit its caches, forward 2 adds them up instead, and backward 1
/// multiplies them with the gradient.
///
/// Source of the algebra: batch normalisation is affine once its statistics are known, and the outer norm's are a
/// quadratic form of the branches' covariance.
namespace unireplk::kernels {

inline constexpr int64_t kMaxBranches = 8;

struct BlockShape {
  MapShape map;                       ///< with those of other processes at least two pixels in all
  std::vector<KernelShape> branches;  ///< the large one, whose reach none exceeds, and then at most 7 more
  double eps = 1e-5;                  ///< of all norms

  int64_t count() const { return static_cast<int64_t>(branches.size()); }
  int64_t taps() const;         ///< of all branches
  int64_t moment_rows() const;  ///< rows of the moments that forward leaves for backward
};

/// Tensors of one branch. Vectors are [channels].
struct BranchWeights {
  const float* weight;  ///< [channels, size, size]
  const float* gamma;
  const float* beta;
};

struct BlockWeights {
  std::vector<BranchWeights> branches;
  const float* gamma;  ///< of the outer norm
  const float* beta;
};

/// Running statistics, which move by `momentum` towards those of the batch.
struct RunningStatistics {
  std::vector<RunningNorm> branches;
  RunningNorm outer;
  double momentum;
};

struct BlockGradients {
  struct Branch {
    float* weight;  ///< [channels, size, size]
    float* gamma;   ///< [channels]; that of beta is 0, the outer norm takes any constant back
  };
  std::vector<Branch> branches;
  float* gamma;  ///< of the outer norm
  float* beta;
  float* x;  ///< [images, height, width, channels], or null: not wanted
};

/// How a block learns of the batches of other processes, so that all count as one. Called between two passes, on the
/// thread that called the block. Without functions there are no others.
struct OtherBatches {
  /// Moments of `maps` maps over this process's `pixels` pixels (means and the upper triangle of the covariance, each
  /// [channels]), to be replaced by those over the pixels of all processes. \return how many these are.
  std::function<double(int64_t maps, double pixels, std::span<float> moments)> merge;
  /// Sums over this process's pixels, to be replaced by those over all.
  std::function<void(std::span<double> sums)> add;
};

/// What forward leaves for backward.
struct BlockMemory {
  float* moments;             ///< [moment_rows(), channels]: means of the branches, upper triangle of their covariance,
                              ///< variance of their normalised sum
  float* branches = nullptr;  ///< kept_branches() floats, or null: backward computes the branches again
};

/// What forward finds besides.
struct BlockCounts {
  double pixels = 0;      ///< over which the moments are taken
  int64_t cancelled = 0;  ///< channels whose branches cancel so far that the variance of their sum was taken from it
};

/// Floats of workspace for either function, at most, on the instruction set in use. The workspace starts at a cache
/// line.
int64_t block_workspace(const BlockShape& shape, int64_t workers);

/// Floats of all branches of all pixels, as the instruction set in use lays them out.
int64_t kept_branches(const BlockShape& shape);

/// \param running  null: left alone.
/// \param memory   written.
/// Numerics: float32; moments of images are centred, merged in float64 over more than 64, and folded in float64.
BlockCounts block_forward(const BlockShape& shape, const BlockWeights& weights, const RunningStatistics* running,
                          const float* x, float* y, const BlockMemory& memory, std::span<float> workspace,
                          const Parallel& parallel, const OtherBatches& others = {});

/// \param memory  as forward left it, of the same x and weights and on the same instruction set.
/// \param pixels  as forward returned them.
/// \param gradients  those of norms come from the sums of all processes, those of x and kernels are of this one's
///                   pixels.
void block_backward(const BlockShape& shape, const BlockWeights& weights, const BlockMemory& memory, double pixels,
                    const float* x, const float* dy, const BlockGradients& gradients, std::span<float> workspace,
                    const Parallel& parallel, const OtherBatches& others = {});

}  // namespace unireplk::kernels
