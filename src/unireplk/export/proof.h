#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "unireplk/models/forecaster.h"

namespace unireplk::exporting {

/// How far a merged block may be from its branch graph: max |difference| / max |y| of the residual branch
/// before layer scale, which is near 0 in a fresh network and would hide a wrong merge.
inline constexpr double kProofLimitF64 = 1e-9;
inline constexpr double kProofLimitF32 = 1e-5;

struct BlockProof {
  std::string block;          ///< "stages.0.1"
  double difference_f64 = 0;  ///< the merge itself: float64 throughout
  double difference_f32 = 0;  ///< the weights of the deploy network as they are
};

struct Proof {
  std::vector<BlockProof> blocks;
  double logits_difference = 0;  ///< of both networks' outputs, max |difference| / max |y|, in their own dtype

  double worst_f64() const;
  double worst_f32() const;

  /// Blocks beyond a limit (not-a-number counts as beyond), as "stages.1.0: 0.013 in float32, limit 1e-05".
  std::vector<std::string> failures() const;
  bool holds() const { return failures().empty(); }
};

/// Difference of a block's branch before layer scale on `x`: `deploy` (layer scale taken out again) against
/// the branch graph of `train`, never its cache. Channels with layer scale 0 must be exactly 0 in the deploy
/// block.
///
/// \param train   in train form, eval mode.  \param deploy  in deploy form; both of the dtype of x.
double branch_difference(nn::BlockImpl& train, nn::BlockImpl& deploy, const at::Tensor& x);

/// Compare a network with its deploy form, block by block, each on the input it really gets.
///
/// \param train   in train form; put into eval mode while it runs.
/// \param deploy  what is to be written.
/// \param input   [N, in_channels, H, W]
/// \throws ContractError when the two do not belong together.
Proof verify(models::UniRepLKNetImpl& train, models::UniRepLKNetImpl& deploy, const at::Tensor& input);

/// The same for networks around a trunk: blocks on the maps that the window becomes, outputs of the whole.
Proof verify(models::ForecasterImpl& train, models::ForecasterImpl& deploy, const models::ForecastInput& input);

/// \throws ContractError naming the blocks whose merged form differs.
void require(const Proof& proof);

}  // namespace unireplk::exporting
