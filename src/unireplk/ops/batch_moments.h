#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <memory>

#include "unireplk/kernels/running_norm.h"
#include "unireplk/ops/dilated_reparam.h"
#include "unireplk/tensor/collective.h"

/// Statistics of a batch that several processes may share.
namespace unireplk::ops {

/// Moments of the batches of all ranks as one, from this rank's. One all_gather; merged in float64 in the order of
/// ranks, by the formula of Chan, Golub and LeVeque. A rank without pixels is told by 0 pixels and finite moments.
///
/// \param mine  float64 [1 + maps + maps (maps + 1) / 2, C]: pixels, means of the maps, the upper triangle of their
///              covariance.
/// \return      the same of all.
/// \throws UserError when there is but one pixel in all.
at::Tensor merge_over_ranks(const at::Tensor& mine, int64_t maps, Collective& collective);

/// Mean and biased variance of each channel, [C], float32 or wider.
struct BatchMoments {
  at::Tensor mean, variance;
  double pixels = 0;
};

/// Of x [N, C, H, W], and of those of all ranks unless `collective` is null.
/// \throws UserError when there is but one pixel in all.
BatchMoments batch_moments(const at::Tensor& x, Collective* collective);

/// Whether a kernel on `device` may count a norm's batches, or need not.
bool can_count(const NormTensors& norm, const at::Device& device);

/// What a kernel moves of a norm. \param name  of the operator. \throws ContractError without running statistics.
kernels::RunningNorm running_norm(const char* name, const NormTensors& norm);

/// What a kernel has written through pointers: the version counters of running statistics do not see that.
void bump_versions(const NormTensors& norm);

/// Move running statistics towards those of a batch, and count it; the variance becomes the unbiased one.
void move_running_statistics(const NormTensors& norm, const BatchMoments& batch, double momentum);

/// \throws UserError when batch statistics of that many values have no variance.
void check_has_variance(double pixels);

/// A collective (or null) on its way from forward to backward.
c10::IValue capsule_of(std::shared_ptr<Collective> collective);
std::shared_ptr<Collective> collective_of(const c10::IValue& capsule);

}  // namespace unireplk::ops
