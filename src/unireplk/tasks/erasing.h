#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "unireplk/config/fields.h"

namespace unireplk::tasks {

/// What takes the place of an erased rectangle: a normal deviate for each pixel and channel, one for each channel, or
/// zero, which is the mean.
enum class ErasingMode { kPixel, kRand, kConst };

/// Rectangles erased from some maps of a batch. Source: spec/image.md section 3.7 (timm's RandomErasing).
struct ErasingConfig {
  double probability = 0.25;
  ErasingMode mode = ErasingMode::kPixel;
  int64_t count = 1;
  std::array<double, 2> area{0.02, 1.0 / 3.0};
  std::array<double, 2> aspect{0.3, 1.0 / 0.3};

  static void fields(auto& self, auto&& visit) {
    visit("probability", self.probability, config::fraction, "Share of the samples.");
    visit("mode", self.mode, "Filling: pixel (noise), rand (one random value a channel), const (the mean).");
    visit("count", self.count, config::between(1, 100), "Most rectangles in one sample; they share the area.");
    visit("area", self.area, config::Range{.low = 0, .high = 1, .open_low = true},
          "Smallest and largest share of the map, all rectangles together.");
    visit("aspect", self.aspect, config::positive, "Smallest and largest height : width.");
  }
  void validate(config::Problems& problems) const;
};

/// Erase in place, each sample on its own. Rectangles follow from the seed of `generator`, which stays as it is for
/// them; noise is drawn from it, on the device.
///
/// \param maps  [B, C, H, W], floating, normalised.
void erase(at::Tensor& maps, const ErasingConfig& config, at::Generator generator);

}  // namespace unireplk::tasks

template <>
struct unireplk::config::EnumNames<unireplk::tasks::ErasingMode> {
  using E = unireplk::tasks::ErasingMode;
  static constexpr std::pair<std::string_view, E> values[] = {
      {"pixel", E::kPixel}, {"rand", E::kRand}, {"const", E::kConst}};
};
