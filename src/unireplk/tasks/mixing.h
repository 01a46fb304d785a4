#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "unireplk/config/fields.h"

namespace unireplk::tasks {

/// One draw for all samples of a batch, one for each, or one for each two that are mixed with each other.
enum class MixMode { kBatch, kElem, kPair };

/// Mixup and CutMix: every sample is mixed with the one at the same distance from the other end of the batch.
/// Source: spec/image.md section 6 (timm's Mixup).
struct MixingConfig {
  double mixup = 0;
  double cutmix = 0;
  std::optional<std::array<double, 2>> cutmix_minmax = {};
  double mixup_prob = 1;
  double mixup_switch_prob = 0.5;
  MixMode mixup_mode = MixMode::kBatch;

  static void fields(auto& self, auto&& visit) {
    visit("mixup", self.mixup, config::non_negative,
          "Alpha of the Beta distribution that shares of mixup follow; 0: off.");
    visit("cutmix", self.cutmix, config::non_negative, "The same for cutmix.");
    visit("cutmix_minmax", self.cutmix_minmax, config::fraction,
          "Smallest and largest share of each side that cutmix cuts, uniform, instead of `cutmix`.");
    visit("mixup_prob", self.mixup_prob, config::fraction, "Share of the draws that mix at all.");
    visit("mixup_switch_prob", self.mixup_switch_prob, config::fraction, "Share of cutmix where both are on.");
    visit("mixup_mode", self.mixup_mode, "Draw for each: batch, elem (sample) or pair.");
  }
  void validate(config::Problems& problems) const;

  bool is_on() const { return mixup > 0 || uses_cutmix(); }
  bool uses_cutmix() const { return cutmix > 0 || cutmix_minmax; }
};

/// Mix in place; needs an even batch. Everything follows from the seed of `generator`, whose sequence stays as it is.
///
/// \param maps  [B, C, H, W], floating.
/// \return what each sample kept of itself, float32 [B], on the device of the maps.
/// \throws ContractError for an odd batch; a config that would make one is refused when it is read.
at::Tensor mix(at::Tensor& maps, const MixingConfig& config, const at::Generator& generator);

/// Targets [B, classes], float32: smoothed one-hot rows, those of the partners mixed in. Each row sums to one.
///
/// \param labels  int64 [B];  \param kept  of mix(), [B].
at::Tensor mixed_targets(const at::Tensor& labels, int64_t classes, double label_smoothing, const at::Tensor& kept);

/// Targets [B, classes] with those of the partners mixed in, as the maps were. \param kept  of mix(), [B].
at::Tensor shared_targets(const at::Tensor& own, const at::Tensor& kept);

}  // namespace unireplk::tasks

template <>
struct unireplk::config::EnumNames<unireplk::tasks::MixMode> {
  using E = unireplk::tasks::MixMode;
  static constexpr std::pair<std::string_view, E> values[] = {
      {"batch", E::kBatch}, {"elem", E::kElem}, {"pair", E::kPair}};
};
